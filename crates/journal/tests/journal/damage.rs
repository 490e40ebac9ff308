//! Damaged journals and arbitrary bytes: only appended records are returned, every whole one is, and nothing panics.

use crate::claims::{
    Deed, Harm, LOG, Lived, Remains, Shape, a_copy_of_the_root_is_lost, anything_is_read_to_an_end,
    bad_bytes_cost_what_they_touch, damage_costs_what_it_touches, live, the_newest_root_is_lost,
};
use cachemaint::medium::{Medium, Readable as _};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_test_support::bad_blocks::BadBlocks;
use core::sync::atomic::Ordering::Relaxed;
use proptest::prelude::*;

/// Eight segments of 256 bytes.
const SHAPE: Shape = Shape { segment: 256, segments: 8, is_powersafe: true };

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let at = 0..256_u16;
    let harm = prop_oneof![
        (at.clone(), 0..64_u8).prop_map(|(at, bit)| Harm::Bit { at, bit }),
        (at.clone(), 1..40_u8).prop_map(|(at, words)| Harm::Zeros { at, words }),
        (at.clone(), 1..20_u8, any::<u32>()).prop_map(|(at, words, seed)| Harm::Noise {
            at,
            words,
            seed
        }),
        (at.clone(), at, 1..40_u8).prop_map(|(from, at, words)| Harm::Copy { from, at, words }),
    ];
    proptest::collection::vec(harm, 1..4)
}

/// No damage in half of the cases.
fn maybe_harms() -> impl Strategy<Value = Vec<Harm>> {
    prop_oneof![Just(Vec::new()), harms()]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let len = 0..120_u8;
    let deed = prop_oneof![
        12 => len.prop_map(Deed::Append),
        1 => proptest::collection::vec(0..30_u8, 0..4).prop_map(Deed::Group),
        1 => any::<u8>().prop_map(Deed::Trim),
        1 => Just(Deed::Reopen),
        1 => Just(Deed::Kill),
    ];
    proptest::collection::vec(deed, 1..60)
}

/// No earlier content in half of the cases.
fn remains() -> impl Strategy<Value = Remains> {
    prop_oneof![
        3 => Just(Remains::Nothing),
        1 => any::<u32>().prop_map(Remains::Noise),
        1 => (1..4_u8, 0..64_u8).prop_map(|(kind, len)| Remains::Headers { kind, len }),
        1 => deeds().prop_map(Remains::Journal),
    ]
}

fn medium() -> SimMedium {
    Simulation::new(Model::X86, SHAPE.bytes()).medium()
}

/// Returns a damaged journal, its records, and the changed words.
fn harmed(
    remains: &Remains,
    deeds: &[Deed],
    trims: bool,
    harms: &[Harm],
) -> (SimMedium, Lived, Vec<u64>) {
    let medium = medium();
    remains.put(&medium, SHAPE);
    let lived = live(&medium, SHAPE, deeds, trims);
    let changed = harms.iter().flat_map(|harm| harm.apply(&medium)).collect();
    (medium, lived, changed)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_costs_what_it_touches_and_nothing_else(
        remains in remains(),
        deeds in deeds(),
        trims: bool,
        harms in harms(),
    ) {
        let (medium, lived, changed) = harmed(&remains, &deeds, trims, &harms);
        damage_costs_what_it_touches(&medium, &lived, &changed);
    }

    #[test]
    fn with_one_copy_of_the_root_nothing_is_lost(
        remains in remains(),
        deeds in deeds(),
        trims: bool,
        harms in maybe_harms(),
    ) {
        let (medium, lived, changed) = harmed(&remains, &deeds, trims, &harms);
        a_copy_of_the_root_is_lost(&medium, &lived, &changed);
    }

    #[test]
    fn without_the_newest_root_no_wrong_record_is_returned(
        remains in remains(),
        deeds in deeds(),
        trims: bool,
        harms in maybe_harms(),
    ) {
        let (medium, lived, changed) = harmed(&remains, &deeds, trims, &harms);
        the_newest_root_is_lost(&medium, &lived, &changed);
    }

    /// A block at every place: each root, the confirmation word, and the log; also without that word, as after a power
    /// cut.
    #[test]
    fn bad_blocks_cost_what_is_in_them(
            remains in remains(), deeds in deeds(), trims: bool, is_cut: bool,
        ) {
        const BLOCK: u64 = 256;
        let (medium, lived, _) = harmed(&remains, &deeds, trims, &[]);
        medium.store(16384, if is_cut { 0 } else { medium.load(16384, Relaxed) }, Relaxed);
        let mut bytes = vec![0; SHAPE.bytes() as usize];
        medium.read(0, &mut bytes).unwrap();
        let places = [0, 4096, 8192, 12288, 16384].into_iter();
        for at in places.chain((LOG..SHAPE.bytes()).step_by(BLOCK as usize)) {
            let words: Vec<_> = (at..at + BLOCK).step_by(8).map(|at| at.wrapping_sub(LOG) / 8).collect();
            let words = if at < LOG { &[][..] } else { &words };
            let bad = BadBlocks::new(&bytes, Some(at..at + BLOCK));
            bad_bytes_cost_what_they_touch(&bad, &lived, words);
        }
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(
        words in proptest::collection::vec(any::<u64>(), 0..2304),
        log in proptest::collection::vec(prop_oneof![any::<u64>(), 0..2048_u64, Just(0x0100_0018)], 256),
        is_formatted: bool,
    ) {
        let medium = medium();
        if is_formatted {
            drop(SHAPE.options(0).create_new(&medium).unwrap());
            log.iter().zip((LOG..).step_by(8)).for_each(|(word, at)| medium.store(at, *word, Relaxed));
        } else {
            words.iter().zip((0..).step_by(8)).for_each(|(word, at)| medium.store(at, *word, Relaxed));
        }
        anything_is_read_to_an_end(&medium, SHAPE);
    }
}
