//! A kernel's record of its own end: a panic handler writes back the lines of a buffer, with one CPU alive and no
//! interrupt to notify another one.
//!
//! The handler does not examine the CPU: the handle was made while the system worked. On x86 such an examination
//! executes CPUID, which exits from a guest, and a handler should depend on as little as possible.

use core::cell::{Cell, RefCell};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use cachemaint::{Cache, Point};
use cachemaint_lab_freestanding::Board as _;
use cachemaint_lab_freestanding::image::{Machine, OneCpu, done};

/// The handle for the intended panic. Any other panic is a failure.
static PREPARED: OneCpu<Cell<Option<Cache>>> = OneCpu(Cell::new(None));
static RECORD: OneCpu<RefCell<Record>> = OneCpu(RefCell::new(Record { text: [0; 256], len: 0 }));

/// Memory that survives the program, on a machine that has such memory.
struct Record {
    text: [u8; 256],
    len: usize,
}

impl Write for Record {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let free = self.text.get_mut(self.len..).and_then(|rest| rest.get_mut(..s.len()));
        free.ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

const WORDS: &str = "a panic that is meant";

/// Prepares the handle, to the point of persistence if the CPU reaches it, and panics.
#[expect(clippy::panic, reason = "what the handler does is what is to be proved")]
pub(super) fn panic_with(cache: Cache) -> ! {
    Machine.begin("panic write-back");
    PREPARED.0.set(Some(cache.to(Point::Persistence).unwrap_or(cache)));
    panic!("{WORDS}");
}

/// Records the intended panic and ends the run. Returns after any other panic.
pub(super) fn keep(panic: &PanicInfo<'_>) {
    // A panic in this function finds no prepared handle.
    let Some(cache) = PREPARED.0.take() else { return };
    let mut record = RECORD.0.borrow_mut();
    let written = write!(record, "{}", panic.message());
    assert!(written.is_ok(), "the record is too short");
    cache.writeback(&*record);
    assert_eq!(record.text.get(..record.len), Some(WORDS.as_bytes()), "after the write-back");
    Machine.print(format_args!("passed panic write-back"));
    done()
}
