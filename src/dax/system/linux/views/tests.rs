//! What two mappings of a file, and a mapping and the kernel, need so that they agree: on the model, each
//! need for itself, and the steps of this module in the form in which files execute them.

use super::model::{
    Geometry, Kernel, LINE, Machine, ModelFile, PAGE, Tag, View, Whims, index, worst_case,
};
use super::{TwoViews, Upkeep, read, write};
use crate::aliasing::{Aliasing, congruent, gap, mappings_agree};
use crate::dax::{DaxFile, ErrorKind, Options};
use crate::medium::Medium;
use crate::skip::skip;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use proptest::prelude::*;

/// Two colours: each way is two pages.
const VIPT: Geometry = Geometry { sets: 4, ways: 2, tag: Tag::Physical };
const VIVT: Geometry = Geometry { tag: Tag::Virtual, ..VIPT };
const VIVT_OF_ONE_WAY: Geometry = Geometry { ways: 1, ..VIVT };
/// A way is no larger than a page, so that no bit above the page's chooses a set.
const SMALL: Geometry = Geometry { sets: 2, ..VIPT };

/// Three views of a page: the second is congruent to the first in a cache of two colours, the third is not.
const A: View = View { address: 16 * PAGE, offset: 0 };
const CONGRUENT: View = View { address: 22 * PAGE, offset: 0 };
const INCONGRUENT: View = View { address: 23 * PAGE, offset: 0 };

fn expect(what: &str, found: u8, expected: u8) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found} in place of {expected}")) }
}

/// Each of two views stores, and both must see it.
fn ping_pong(machine: &RefCell<Machine>, a: View, b: View) -> Result<(), String> {
    let (load, store) = (
        |view, at| machine.borrow_mut().load(view, at),
        |view, at, byte| machine.borrow_mut().store(view, at, byte),
    );
    store(a, 0, 1);
    expect("b, of a's store", load(b, 0), 1)?;
    store(b, 0, 2);
    // In the same line: neither may undo the other.
    store(a, 1, 3);
    expect("a, of b's store", load(a, 0), 2)?;
    expect("b, of b's store", load(b, 0), 2)?;
    expect("b, of a's other store", load(b, 1), 3)
}

fn two_mappings(geometry: Geometry, b: View) -> Option<String> {
    worst_case(
        2,
        |whims| Machine::new(geometry, 1, &[A, b], whims),
        |machine| ping_pong(machine, A, b),
    )
}

#[test]
fn congruent_mappings_agree_in_a_cache_with_physical_tags() {
    assert!(congruent(A.address, CONGRUENT.address, VIPT.way() as u64));
    assert_eq!(two_mappings(VIPT, CONGRUENT), None);
}

#[test]
fn incongruent_mappings_do_not() {
    assert!(!congruent(A.address, INCONGRUENT.address, VIPT.way() as u64));
    assert!(two_mappings(VIPT, INCONGRUENT).is_some());
    assert!(two_mappings(VIVT_OF_ONE_WAY, INCONGRUENT).is_some());
}

#[test]
fn a_cache_whose_ways_are_no_larger_than_a_page_never_aliases() {
    assert_eq!(two_mappings(SMALL, INCONGRUENT), None);
}

/// One puts the other out. With a second way both stay.
#[test]
fn virtual_tags_need_more_than_congruence_unless_there_is_one_way() {
    assert_eq!(two_mappings(VIVT_OF_ONE_WAY, CONGRUENT), None);
    assert!(two_mappings(VIVT, CONGRUENT).is_some());
}

/// Every place for two mappings of a file of four pages, each from any page of it on.
#[test]
fn mappings_that_are_placed_by_their_offset_agree() {
    for (from, other) in (8..12).flat_map(|a| (20..24).map(move |b| (a * PAGE, b * PAGE))) {
        for offset in [0, PAGE, 2 * PAGE] {
            let placed = |from: usize, offset: usize| View {
                address: from + index(gap(from, offset as u64, VIPT.way() as u64)),
                offset,
            };
            let (a, b) = (placed(from, 0), placed(other, offset));
            let pairs = ((a.address, 0), (b.address, offset as u64));
            assert!(mappings_agree(pairs.0, pairs.1, VIPT.way() as u64));
            let wrong = worst_case(
                1,
                |whims| Machine::new(VIPT, 4, &[a, b], whims),
                |machine| {
                    machine.borrow_mut().store(a, 3 * PAGE, 1);
                    expect("b", machine.borrow_mut().load(b, 3 * PAGE), 1)?;
                    machine.borrow_mut().store(b, 3 * PAGE, 2);
                    expect("a", machine.borrow_mut().load(a, 3 * PAGE), 2)
                },
            );
            assert_eq!(wrong, None, "{a:?} {b:?}");
        }
    }
}

/// A mapping and the kernel's view, which is not congruent.
fn file(machine: &RefCell<Machine>, kernel: Kernel, forgotten: Option<usize>) -> ModelFile<'_> {
    let steps = RefCell::new(0);
    ModelFile { machine, mapping: A, kernels: INCONGRUENT, kernel, forgotten, steps }
}

fn with_kernel(
    geometry: Geometry,
    program: impl Fn(&RefCell<Machine>) -> Result<(), String>,
) -> Option<String> {
    worst_case(2, |whims| Machine::new(geometry, 1, &[A, INCONGRUENT], whims), program)
}

fn read_one(file: &ModelFile<'_>, at: u64) -> u8 {
    let mut byte = [0];
    let Ok(()) = read(file, at, &mut byte);
    byte[0]
}

fn write_one(file: &ModelFile<'_>, at: u64, byte: u8) {
    let Ok(()) = write(file, at, &[byte]);
}

/// Step 0 is that before the first read, step 1 that before the second.
fn stores_and_reads(file: &ModelFile<'_>) -> Result<(), String> {
    file.store(0, 1);
    expect("the first read", read_one(file, 0), 1)?;
    file.store(0, 2);
    expect("the second read", read_one(file, 0), 2)
}

/// Step 0 is that before the write, step 1 that after it. The byte beside it was stored before, and is not
/// to be lost.
fn stores_and_writes(file: &ModelFile<'_>) -> Result<(), String> {
    file.store(1, 7);
    write_one(file, 0, 1);
    expect("a load after a write", file.load(0), 1)?;
    expect("a load of its neighbour", file.load(1), 7)?;
    file.store(1, 8);
    write_one(file, 0, 2);
    expect("a load after the second write", file.load(0), 2)?;
    expect("a load of its neighbour", file.load(1), 8)?;
    expect("a read of its neighbour", read_one(file, 1), 8)
}

#[test]
fn a_file_in_the_page_cache_is_right_with_each_side_doing_its_half() {
    for geometry in [VIPT, VIVT] {
        for kernel in [Kernel::PageCache, Kernel::PageCacheButBeforeWrites] {
            let reads = |machine: &_| stores_and_reads(&file(machine, kernel, None));
            let writes = |machine: &_| stores_and_writes(&file(machine, kernel, None));
            assert_eq!(with_kernel(geometry, reads), None, "{geometry:?} {kernel:?}");
            assert_eq!(with_kernel(geometry, writes), None, "{geometry:?} {kernel:?}");
        }
    }
}

/// The steps of a write without the reads of its ends.
#[test]
fn without_a_read_before_a_write_the_kernel_s_old_line_goes_over_the_neighbour() {
    let program = |machine: &_| {
        let file = file(machine, Kernel::PageCacheButBeforeWrites, None);
        expect("a read, which leaves a line", read_one(&file, 1), 0)?;
        file.store(1, 8);
        let Ok(()) = file.writeback_invalidate(&(0..1));
        let Ok(()) = file.kernel_write(0, &[1]);
        let Ok(()) = file.writeback_invalidate(&(0..1));
        expect("a load of what was written", file.load(0), 1)?;
        expect("a load of its neighbour", file.load(1), 8)
    };
    let wrong = with_kernel(VIPT, program).unwrap();
    assert!(wrong.starts_with("a load of its neighbour: 0 in place of 8"), "{wrong}");
}

#[test]
fn without_the_write_back_before_a_read_the_last_store_is_missed() {
    let program = |machine: &_| stores_and_reads(&file(machine, Kernel::PageCache, Some(0)));
    let wrong = with_kernel(VIPT, program).unwrap();
    assert!(wrong.starts_with("the first read: 0 in place of 1"), "{wrong}");
}

#[test]
fn without_the_write_back_before_a_write_a_dirty_line_goes_over_what_was_written() {
    let program = |machine: &_| stores_and_writes(&file(machine, Kernel::PageCache, Some(0)));
    let wrong = with_kernel(VIPT, program).unwrap();
    assert!(wrong.starts_with("a load after a write: 0 in place of 1"), "{wrong}");
}

#[test]
fn without_the_invalidation_after_a_write_a_line_fetched_meanwhile_stays() {
    let program = |machine: &_| stores_and_writes(&file(machine, Kernel::PageCache, Some(1)));
    let wrong = with_kernel(VIPT, program).unwrap();
    assert!(wrong.starts_with("a load after a write: 0 in place of 1"), "{wrong}");
    assert!(wrong.contains("fetches 0"), "only a fetch that nobody asked for does it: {wrong}");
}

/// So these calls are refused there.
#[test]
fn a_file_that_is_mapped_directly_is_wrong_whatever_the_program_does() {
    let reads = |machine: &_| stores_and_reads(&file(machine, Kernel::Direct, None));
    let writes = |machine: &_| stores_and_writes(&file(machine, Kernel::Direct, None));
    let wrong = with_kernel(VIPT, reads).unwrap();
    assert!(wrong.starts_with("the second read: 1 in place of 2"), "{wrong}");
    let wrong = with_kernel(VIPT, writes).unwrap();
    assert!(wrong.starts_with("a load after a write: 0 in place of 1"), "{wrong}");
}

/// Maintenance by this process reaches the lines of another's mapping, as they are the same lines. There are
/// four colours here, so that the other's is not the kernel's either.
#[test]
fn what_another_process_stored_is_read_if_its_mapping_is_congruent() {
    let geometry = Geometry { sets: 8, ..VIPT };
    let with_another = |other: View| {
        worst_case(
            2,
            |whims| Machine::new(geometry, 1, &[A, other, INCONGRUENT], whims),
            |machine| {
                let file = file(machine, Kernel::PageCache, None);
                machine.borrow_mut().store(other, 0, 1);
                expect("a read", read_one(&file, 0), 1)?;
                write_one(&file, 0, 2);
                expect("a load", machine.borrow_mut().load(other, 0), 2)
            },
        )
    };
    assert_eq!(with_another(View { address: 24 * PAGE, ..A }), None);
    assert!(with_another(View { address: 25 * PAGE, ..A }).is_some());
}

/// What a program does with a file of two pages.
#[derive(Clone, Debug)]
enum Call {
    Load(u64),
    Store(u64, u8),
    Read(u64, usize),
    Write(u64, Vec<u8>),
}

fn calls() -> impl Strategy<Value = Call> {
    let at = || 0..2 * PAGE as u64;
    let len = 1..=PAGE;
    prop_oneof![
        at().prop_map(Call::Load),
        (at(), any::<u8>()).prop_map(|(at, byte)| Call::Store(at, byte)),
        (0..=PAGE as u64, len.clone()).prop_map(|(at, len)| Call::Read(at, len)),
        (0..=PAGE as u64, prop::collection::vec(any::<u8>(), len))
            .prop_map(|(at, bytes)| Call::Write(at, bytes)),
    ]
}

proptest! {
    /// Any program, any whims, any place of the kernel's view: always what plain memory would show.
    #[test]
    fn mapping_and_kernel_show_the_same_bytes(
        calls in prop::collection::vec(calls(), 1..24),
        // Most of the time nothing happens, so that lines grow old.
        answers in prop::collection::vec(prop_oneof![3 => Just(0_usize), 1 => 0_usize..64], 0..400),
        kernels in 40_usize..48,
        geometry in prop_oneof![Just(VIPT), Just(VIVT), Just(VIVT_OF_ONE_WAY)],
        kernel in prop_oneof![Just(Kernel::PageCache), Just(Kernel::PageCacheButBeforeWrites)],
    ) {
        let kernels = View { address: kernels * PAGE, offset: 0 };
        let machine = Machine::new(geometry, 2, &[A, kernels], Whims::given(answers));
        let machine = RefCell::new(machine);
        let file = ModelFile { kernels, ..file(&machine, kernel, None) };
        let mut plain = [0; 2 * PAGE];
        for call in calls {
            match call {
                Call::Load(at) => prop_assert_eq!(file.load(at), plain[index(at)]),
                Call::Store(at, byte) => {
                    file.store(at, byte);
                    plain[index(at)] = byte;
                }
                Call::Read(at, len) => {
                    let mut found = vec![0; len];
                    let Ok(()) = read(&file, at, &mut found);
                    prop_assert_eq!(&found[..], &plain[index(at)..][..len]);
                }
                Call::Write(at, bytes) => {
                    let Ok(()) = write(&file, at, &bytes);
                    plain[index(at)..][..bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
    }
}

/// The machine itself, where it is simple: a store goes to memory when its line is dropped, not before.
#[test]
fn the_model_writes_back() {
    let mut machine = Machine::new(VIPT, 1, &[A], Whims::default());
    machine.store(A, LINE, 9);
    assert_eq!(machine.load(INCONGRUENT, LINE), 0);
    machine.writeback_invalidate(A, LINE..2 * LINE);
    machine.writeback_invalidate(INCONGRUENT, LINE..2 * LINE);
    assert_eq!(machine.load(INCONGRUENT, LINE), 9);
}

/// The steps of a real file, on a machine that does not need them: they change no byte, and they do take
/// the pages out of the page table, which is what makes a kernel write back and drop their lines.
#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn the_steps_of_a_real_file_change_no_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity();
    let file = options.create(&path, 64 << 10).unwrap();
    let stored: Vec<u8> = (0..=250).cycle().take(64 << 10).collect();
    file.write(0, &stored);
    if resident(&file) == 0 {
        skip("resident pages", "/proc/self/smaps does not tell of pages that were just written");
    }
    file.writeback_invalidate(&(0..64 << 10)).unwrap();
    assert_eq!(resident(&file), 0);

    let mut found = vec![0; 64 << 10];
    Upkeep::BothHalves.read(&file, 0, &mut found).unwrap();
    assert_eq!(found, stored);
    Upkeep::BothHalves.write(&file, 4090, b"across a page").unwrap();
    let mut expected = stored;
    expected[4090..4103].copy_from_slice(b"across a page");
    file.read(0, &mut found).unwrap();
    assert_eq!(found, expected);
}

/// How many KiB of a file's mapping are in the page table.
fn resident(file: &DaxFile) -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", file.as_ptr(0).addr());
    let mut mapping = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let size = mapping.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    size.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_file_that_the_kernel_does_not_keep_together_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = Options::new().allow_page_granularity().create(&path, 4096).unwrap();
    file.write(0, b"kept");
    let mut bytes = [1; 4];
    let refused = Upkeep::NotByKernel;
    let refusals = [refused.read(&file, 0, &mut bytes), refused.write(&file, 0, b"lost")];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ViewsDisagree), "{error}");
        assert!(error.to_string().contains("through the mapping alone"), "{error}");
    }
    assert_eq!(bytes, [1; 4]);
    file.read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
}

const SOURCE: &str = "a test";

/// Where nobody says that the cache does not alias, nothing is taken for granted.
#[test]
fn what_is_not_known_to_agree_is_maintained_or_refused() {
    let no = Aliasing::No { source: SOURCE };
    let yes = Aliasing::Yes { source: SOURCE };
    let unknown = Aliasing::Unknown { reason: SOURCE, advice: SOURCE };
    for through_page_cache in [true, false] {
        assert_eq!(Upkeep::where_cache(no, through_page_cache), Upkeep::None);
    }
    for aliasing in [yes, unknown] {
        assert_eq!(Upkeep::where_cache(aliasing, true), Upkeep::BothHalves);
        assert_eq!(Upkeep::where_cache(aliasing, false), Upkeep::NotByKernel);
    }
}
