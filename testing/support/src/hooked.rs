//! A medium whose calls a test sees first: it can hold a thread there, fail or panic.

use crate::counting::Broken;
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// A call, with its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Load(u64),
    Read(u64),
    Store(u64),
    Write(u64),
    Writeback(u64),
    Fence,
}

impl Call {
    /// Returns true for a call that can fail.
    #[must_use]
    pub const fn can_fail(self) -> bool {
        !matches!(self, Self::Load(_) | Self::Store(_) | Self::Write(_))
    }
}

type Hook<'h> = Box<dyn Fn(Call) -> Result<(), Broken> + Send + Sync + 'h>;

/// A medium without a lock, whose calls a hook sees first. A failure that the hook returns is that of the call, if the call
/// [can fail](Call::can_fail).
pub struct Hooked<'h, M> {
    pub medium: M,
    hook: Hook<'h>,
}

/// Without the hook.
impl<M: fmt::Debug> fmt::Debug for Hooked<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooked").field(&self.medium).finish()
    }
}

impl<'h, M> Hooked<'h, M> {
    pub fn new(medium: M, hook: impl Fn(Call) -> Result<(), Broken> + Send + Sync + 'h) -> Self {
        Self { medium, hook: Box::new(hook) }
    }

    fn see(&self, call: Call) {
        let _cannot_fail = (self.hook)(call);
    }
}

impl<M: Medium> Readable for Hooked<'_, M> {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Broken> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        (self.hook)(Call::Read(at))?;
        self.medium.read(at, into).or(Err(Broken))
    }

    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }
}

impl<M: Medium> Medium for Hooked<'_, M> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.see(Call::Load(at));
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.see(Call::Store(at));
        self.medium.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.see(Call::Write(at));
        self.medium.write(at, from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Broken> {
        (self.hook)(Call::Writeback(range.start))?;
        self.medium.issue_writeback(range).or(Err(Broken))
    }

    fn fence(&self) -> Result<(), Broken> {
        (self.hook)(Call::Fence)?;
        self.medium.fence().or(Err(Broken))
    }

    fn order_observed(&self) {
        self.medium.order_observed();
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Broken> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
