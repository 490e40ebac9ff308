//! The machine: CPUs with write-back caches, and devices that see only memory.

use crate::explore::Seed;
use crate::line::{Line, Place};
use crate::memory::{ARENA, Memory, PAGE};
use crate::site::Site;
use crate::state::{State, lock};
use crate::story::{Call, Operation};
use cachemaint::cache::Plain;
use cachemaint::coherence::{Granule, Maintain, Padded, hand_over};
use std::alloc::Layout;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, Weak};

/// The largest number of steps of a wait.
const LONGEST_WAIT: u32 = 10_000;

/// A device. It is never dropped, so it may borrow what is dropped before the machine.
type Device<'d> = ManuallyDrop<Box<dyn FnMut(&Bus<'_>) + Send + 'd>>;
/// The devices. A device that is taking a step is not in its place.
type Devices<'d> = Mutex<Vec<Option<Device<'d>>>>;

/// A computer for testing a driver: a CPU with a write-back cache, and devices that do not snoop it.
///
/// It implements [`Maintain`]: pass `&machine` to the driver. Memory that the device may write is allocated by
/// [`padded`](Self::padded), [`padded_slice`](Self::padded_slice), [`place`](Self::place) or [`alloc`](Self::alloc).
/// The seed decides what the cache and the devices do between two calls of the machine.
pub struct Machine<'d> {
    cpu: Cpu<'d>,
    devices: Arc<Devices<'d>>,
    state: Arc<Mutex<State>>,
}

/// A CPU of a [`Machine`]; the caches of different CPUs do not see each other. A clone is the same CPU.
#[derive(Clone, Debug)]
pub struct Cpu<'d> {
    number: usize,
    line: usize,
    /// Weak references, since devices may own CPUs. A CPU does nothing after its machine has ended.
    state: Weak<Mutex<State>>,
    devices: Weak<Devices<'d>>,
}

/// A device's view: memory, at the addresses of the first CPU.
#[derive(Debug)]
pub struct Bus<'m> {
    state: &'m Mutex<State>,
}

#[expect(clippy::mut_from_ref, reason = "each call returns memory of its own")]
impl<'d> Machine<'d> {
    /// Returns a machine with one CPU, and lines of `line` bytes. The seed comes from [`explore`](crate::explore), or
    /// is a number. With number 0, lines are evicted or fetched only if the CPU needs it.
    ///
    /// # Panics
    /// If `line` is not a power of two from 8 to 4096.
    #[must_use]
    pub fn new(line: usize, seed: impl Into<Seed>) -> Self {
        Self::with_cpus(1, line, seed)
    }

    /// Returns a machine whose CPUs do not see each other's caches, like the cores of some chips, or hosts on CXL
    /// memory.
    ///
    /// # Panics
    /// As [`new`](Self::new), and if `cpus` is 0.
    #[must_use]
    pub fn with_cpus(cpus: usize, line: usize, seed: impl Into<Seed>) -> Self {
        assert!(line.is_power_of_two() && (8..=PAGE).contains(&line), "no line has {line} bytes");
        assert!(cpus > 0, "a machine has a CPU");
        let seed = seed.into();
        let memory = Memory::new(cpus, line, seed.run().tried.clone());
        let state = Arc::new(Mutex::new(State::new(seed.clone(), memory)));
        if seed.run().is_explored {
            seed.run().machines.push(Arc::clone(&state));
        }
        let devices = Arc::new(Mutex::new(Vec::new()));
        let (weak_state, weak_devices) = (Arc::downgrade(&state), Arc::downgrade(&devices));
        let cpu = Cpu { number: 0, line, state: weak_state, devices: weak_devices };
        Self { cpu, devices, state }
    }

    /// Adds a device. Each call of the closure is a step, which may come at any call of the machine: it looks for work,
    /// does a part of it, and returns. It may borrow data of the test, such as registers. The closure is never dropped.
    /// Another CPU is a device that owns a [`Cpu`]: see [Two CPUs](crate#two-cpus).
    pub fn attach(&self, device: impl FnMut(&Bus<'_>) + Send + 'd) {
        lock(&self.devices).push(Some(ManuallyDrop::new(Box::new(device))));
    }

    /// Returns a CPU, by its number from 0.
    ///
    /// # Panics
    /// If the machine has fewer CPUs.
    #[must_use]
    pub fn cpu(&self, number: usize) -> Cpu<'d> {
        assert!(number < lock(&self.state).memory.bases.len(), "the machine has no CPU {number}");
        Cpu { number, ..self.cpu.clone() }
    }

    /// Places a padded buffer in the machine's memory, for as long as the machine lives.
    ///
    /// # Panics
    /// If the machine's lines are longer than `N`, or its memory of 16 MiB is full.
    #[track_caller]
    pub fn padded<T: Plain, const N: usize>(&self, value: T) -> &mut Padded<T, N>
    where
        [u8; N]: Granule,
    {
        let value = Padded::for_granule(value, self.granule());
        // SAFETY: (1) every bit pattern of a padded plain value is a value.
        unsafe { self.place_value(value, size_of::<T>()) }
    }

    /// Places a value in the machine's memory, for as long as the machine lives. It can begin within a line. The line's
    /// other bytes are neighbours: the machine stores to them now and then, and fails if one loses a store.
    ///
    /// # Panics
    /// If the machine's memory of 16 MiB is full.
    #[track_caller]
    pub fn place<T: Plain>(&self, value: T) -> &mut T {
        // SAFETY: (1) the trait says so.
        unsafe { self.place_value(value, size_of::<T>()) }
    }

    /// # Safety
    /// 1. Every bit pattern is a value of `T`: devices write it.
    #[track_caller]
    unsafe fn place_value<T>(&self, value: T, len: usize) -> &mut T {
        let at: NonNull<T> = self.alloc_value(Layout::new::<T>(), len).cast();
        // SAFETY: the memory is of this layout, nobody else has it, and it lives as long as the machine.
        unsafe { at.write(value) };
        // SAFETY: as above.
        unsafe { &mut *at.as_ptr() }
    }

    /// Places a padded slice of zeros in the machine's memory, for as long as the machine lives.
    ///
    /// # Panics
    /// As [`padded`](Self::padded).
    #[must_use]
    #[track_caller]
    pub fn padded_slice<T: Plain, const N: usize>(&self, len: usize) -> &mut Padded<[T], N>
    where
        [u8; N]: Granule,
    {
        assert!(self.granule() <= N, "the machine's lines are longer than {N} bytes");
        let layout = Layout::array::<T>(len).and_then(|layout| layout.align_to(N));
        // A length beyond the address space is also beyond the machine's memory.
        let layout = layout.unwrap_or(Layout::new::<[u8; ARENA]>()).pad_to_align();
        let start = self.alloc_value(layout, size_of::<T>() * len).cast::<T>().as_ptr();
        let slice = std::ptr::slice_from_raw_parts_mut(start, len) as *mut Padded<[T], N>;
        // SAFETY: the memory is of its layout, zeros are values of it, nobody else has it, and it lives as long as the machine.
        unsafe { &mut *slice }
    }

    /// Lets devices write the program's own memory too: whole lines that a driver gives to a writer, such as its own
    /// buffers. Otherwise devices write only the machine's memory.
    ///
    /// # Safety
    /// 1. Such memory is not freed while a device may write to it.
    pub unsafe fn allow_program_memory(&self) {
        lock(&self.state).has_program_memory = true;
    }

    /// Allocates zeros in the machine's memory, for a driver or a HAL that works with pointers. Like all fresh memory,
    /// the zeros are in the CPU's cache, and memory holds something else. As for [`place`](Self::place), a layout
    /// smaller than a line has neighbours.
    ///
    /// # Panics
    /// If the machine's memory of 16 MiB is full.
    #[must_use]
    #[track_caller]
    pub fn alloc(&self, layout: Layout) -> NonNull<u8> {
        self.alloc_value(layout, layout.size())
    }

    /// Allocates memory, of which devices may access the first `len` bytes.
    #[track_caller]
    fn alloc_value(&self, layout: Layout, len: usize) -> NonNull<u8> {
        let mut state = lock(&self.state);
        let (size, align) = (state.memory.line_size, layout.align());
        // Anywhere in a line that the alignment allows, so that it has neighbours.
        let offset = state.random.usize(..size) / align * align;
        let sizes = [len, layout.size()];
        let start = state.memory.alloc(sizes, align, offset, Location::caller());
        NonNull::new(std::ptr::with_exposed_provenance_mut(start)).unwrap_or(NonNull::dangling())
    }

    /// Frees memory of [`alloc`](Self::alloc), which is not reused. A device that touches it afterwards fails, as does an
    /// operation on it.
    ///
    /// # Panics
    /// If the machine did not allocate it, or it was already freed.
    pub fn dealloc(&self, start: NonNull<u8>) {
        let was_allocated = lock(&self.state).memory.dealloc(start.addr().get());
        assert!(was_allocated, "{start:p} was not allocated by this machine");
    }

    /// Maps whole lines of the machine's memory as not cacheable, or as cacheable again. As on a real machine, lines
    /// that the cacheable mapping left dirty stay in the cache until they are written back or dropped. The driver still
    /// uses the machine as its [`Maintain`], since caches and devices act in its calls.
    ///
    /// # Panics
    /// If the range is not whole lines of memory that the machine allocated.
    pub fn set_cacheable(&self, start: NonNull<u8>, len: usize, is_cacheable: bool) {
        let mut state = lock(&self.state);
        let start = start.addr().get();
        for (line, is_whole) in state.memory.lines(0, start..start + len) {
            state.look(line);
            match state.memory.line(line) {
                Some(line) if is_whole && line.place == Place::Arena => {
                    line.set_cacheable(is_cacheable);
                }
                _ => {
                    return state
                        .fail("the range to map is not whole lines of the machine's memory");
                }
            }
        }
    }

    /// Lets caches and devices act, as any call of the machine does. Call it where the driver waits for an interrupt,
    /// or between two accesses with an order that matters.
    pub fn step(&self) {
        self.cpu.step();
    }

    /// Lets caches and devices act until the condition holds.
    ///
    /// # Panics
    /// If the condition does not hold after 10,000 steps.
    #[track_caller]
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        for _ in 0..LONGEST_WAIT {
            if condition() {
                return;
            }
            self.step();
        }
        lock(&self.state)
            .fail("the driver waits forever: the condition does not hold after 10,000 steps");
    }

    /// Drops lines of the machine's memory without writing them back, even those that the range only touches, as DC
    /// IVAC and CBO.INVAL do.
    ///
    /// # Safety
    /// 1. As for [`Maintain::issue_invalidate`] (1) to (3), and for all bytes of the lines.
    pub unsafe fn discard_range(&self, start: *mut u8, len: usize) {
        // SAFETY: (1) is the caller's duty.
        unsafe { self.cpu.issue(Operation::Discard, start, len) };
        self.cpu.complete();
    }
}

impl Cpu<'_> {
    /// Returns this CPU's pointer to the memory that `pointer` names on the first CPU: each CPU has its own view of the
    /// machine's memory.
    ///
    /// # Panics
    /// If it does not point into the machine's memory, or the machine has ended.
    #[must_use]
    pub fn view<T>(&self, pointer: *mut T) -> *mut T {
        let bases = self.with(|state| state.memory.bases.clone()).unwrap_or_default();
        let offset = bases.first().map_or(ARENA, |base| pointer.addr().wrapping_sub(*base));
        assert!(offset < ARENA, "{pointer:p} is not in the machine's memory");
        std::ptr::with_exposed_provenance_mut(bases[self.number] + offset)
    }

    /// Lets caches and devices act, as any call of the machine does.
    pub fn step(&self) {
        self.run_devices();
        self.with(State::act);
    }

    fn with<R>(&self, then: impl FnOnce(&mut State) -> R) -> Option<R> {
        let state = self.state.upgrade()?;
        let result = then(&mut lock(&state));
        Some(result)
    }

    fn run_devices(&self) {
        let (Some(devices), Some(state)) = (self.devices.upgrade(), self.state.upgrade()) else {
            return;
        };
        for _ in 0..4 {
            let mut machine = lock(&state);
            let mut all = lock(&devices);
            if all.is_empty() || !machine.runs_a_device() {
                return;
            }
            let chosen = machine.random.usize(..all.len());
            let device = all[chosen].take();
            drop((all, machine));
            if let Some(mut device) = device {
                device(&Bus { state: &state });
                lock(&devices)[chosen] = Some(device);
            }
        }
    }

    /// # Safety
    /// 1. As for [`Maintain::issue_invalidate`].
    unsafe fn issue(&self, operation: Operation, start: *const u8, len: usize) {
        hand_over(start);
        if len > 0 {
            let call = Call { operation, site: Site::of_the_caller() };
            let start = start.expose_provenance();
            let range = start..start.saturating_add(len);
            // SAFETY: (1) is the caller's duty.
            self.with(|state| unsafe { state.issue(self.number, call, range) });
            self.step();
        }
    }
}

/// Implements [`Maintain`] for a type with a CPU.
macro_rules! maintain {
    ($type:ident, $($cpu:tt)*) => {
        // SAFETY: (1) the size of lines does not change; (2), (3) operations are carried out when they complete, and act on
        // all that was stored before; (4) only whole lines are discarded; (5) calls are made in their order, under a lock;
        // (6) ranges are handed over, and calls are opaque through their volatile accesses; (7) a failure ends the test by a
        // panic.
        unsafe impl Maintain for $type<'_> {
            fn granule(&self) -> usize {
                self$($cpu)*.line
            }

            unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
                // SAFETY: (1) is the caller's duty.
                unsafe { self$($cpu)*.issue(Operation::WriteBack, start, len) };
            }

            unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
                // SAFETY: (1) is the caller's duty.
                unsafe { self$($cpu)*.issue(Operation::Invalidate, start, len) };
            }

            unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
                // SAFETY: (1) is the caller's duty.
                unsafe { self$($cpu)*.issue(Operation::WriteBackInvalidate, start, len) };
            }

            fn order_observed(&self) {
                self$($cpu)*.with(|state| state.order(self$($cpu)*.number));
                self$($cpu)*.step();
            }

            fn complete(&self) {
                self$($cpu)*.with(|state| state.order(self$($cpu)*.number));
                while self$($cpu)*.with(|state| state.complete_one(self$($cpu)*.number)) == Some(true) {
                    self$($cpu)*.run_devices();
                }
                self$($cpu)*.step();
            }

            fn note_value(&self, start: *const u8, len: usize) {
                self$($cpu)*.with(|state| state.value = Some(start.addr()..start.addr() + len));
            }
        }
    };
}

maintain!(Cpu,);
maintain!(Machine, .cpu);

impl Bus<'_> {
    /// Reads memory, as a device that does not snoop.
    ///
    /// # Panics
    /// If the bytes are outside the machine's memory, and no driver has handed them over.
    pub fn read(&self, address: u64, into: &mut [u8]) {
        lock(self.state).transfer((address, into.len()), "reads", |line, at, part| {
            line.read(at, &mut into[part]);
            Ok(())
        });
    }

    /// Writes memory, as a device that does not snoop.
    ///
    /// # Panics
    /// If the bytes are not in a buffer that was handed over, or share a line with other data of the program.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        let write = |line: &mut Line, at, part: Range<usize>| line.write(at, &bytes[part]);
        lock(self.state).transfer((address, bytes.len()), "writes", write);
    }

    /// Reads `N` bytes, for `u32::from_le_bytes` and the like.
    #[must_use]
    pub fn load<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(address, &mut bytes);
        bytes
    }
}

impl fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Machine").field(&*lock(&self.state)).finish()
    }
}
