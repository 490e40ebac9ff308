//! The choice of a method and a store, for recorded CPUs.

use super::HINTS;
use crate::arch::x86::blocks::{
    self as x86, MOV, MOVNTI, VMOVDQA, VMOVDQA64, VMOVNTDQ_256, VMOVNTDQ_512,
};
use crate::arch::{BlockStore, Effect, StoreKind};
use crate::cache::copy::Destination;
use crate::cache::copy::table::{Method, Preferred, is_always_ordinary};
use crate::cache::tests::host_or_refused;
use crate::cpu::block_stores::{self, BlockStores};
use crate::cpu::recorded::Leaf;

fn choice(stores: &[BlockStore], evicts: bool) -> Preferred {
    let present = stores.iter().fold(0, |codes, store| codes | store.code);
    Preferred::of(x86::BLOCK_STORES, BlockStores { present, evicts })
}

const EFFECTS: [Effect; 2] = [Effect::Writeback, Effect::WritebackInvalidate];

const ALL_SIZES: [usize; 12] =
    [0, 64, 128, 192, 256, 1024, 2048, 4096, 65536, 1 << 20, 16 << 20, 64 << 20];

/// With the caches in the persistence domain only the fence is needed: no store past them, no write-back.
#[test]
fn persistent_caches_need_no_write_back() {
    for evicts in [true, false] {
        let choice = choice(x86::BLOCK_STORES, evicts);
        let (method, place) = choice.ordinary();
        assert_eq!((method, x86::BLOCK_STORES[place]), (Method::Ordinary, VMOVDQA64));
    }
    let Some(cache) = host_or_refused() else { return };
    for destination in HINTS.map(Some) {
        let copier = cache.copier(destination, false);
        for len in ALL_SIZES {
            let part = copier.part(core::ptr::null_mut(), core::ptr::null(), len);
            assert_eq!((part.method, part.store.kind), (Method::Ordinary, StoreKind::Ordinary));
        }
    }
}

/// No table may name a method that is not durable: without the vendor's promise lines must be written back.
#[test]
fn without_the_promise_lines_are_written_back_whatever_the_cpu_has() {
    let widths: [&[BlockStore]; 3] = [
        &[MOV, MOVNTI],
        &[MOV, MOVNTI, VMOVDQA, VMOVNTDQ_256],
        &[MOV, MOVNTI, VMOVDQA64, VMOVNTDQ_512],
    ];
    for stores in widths {
        for (size, writeback) in ALL_SIZES.iter().flat_map(|size| EFFECTS.map(|one| (*size, one))) {
            for hint in HINTS {
                let (method, _) = choice(stores, false).method(size, hint, writeback);
                let writes_back =
                    matches!(method, Method::Ordinary | Method::StreamingThenWriteback);
                assert!(writes_back, "{stores:?} {size} {hint:?}: {method:?}");
            }
        }
    }
}

/// The store that is named must be one that the CPU has, and of the kind of the method.
#[test]
fn each_method_has_a_store_that_is_there() {
    let sets: [&[BlockStore]; 4] =
        [&[MOV], &[MOV, MOVNTI], &[MOV, MOVNTI, VMOVDQA, VMOVNTDQ_256], x86::BLOCK_STORES];
    for stores in sets {
        for (evicts, size, hint) in [true, false]
            .into_iter()
            .flat_map(|evicts| ALL_SIZES.map(|size| (evicts, size)))
            .flat_map(|(evicts, size)| HINTS.map(|hint| (evicts, size, hint)))
        {
            let effect = EFFECTS[usize::from(size % 128 == 0)];
            let (method, place) = choice(stores, evicts).method(size, hint, effect);
            let store = x86::BLOCK_STORES[place];
            assert!(stores.contains(&store), "{method:?} by {}", store.name);
            let is_of_kind = match method {
                Method::Ordinary => store.kind == StoreKind::Ordinary,
                Method::Streaming => store.kind != StoreKind::Ordinary,
                Method::StreamingThenWriteback => store.kind == StoreKind::Streaming,
            };
            assert!(is_of_kind, "{method:?} by {}", store.name);
        }
    }
}

/// Kernels must leave the vector registers alone, and registers that the system does not keep would be lost.
/// CPUID.1:ECX says AVX (28) and OSXSAVE (27), CPUID.7.0 AVX512F (EBX 16). XCR0 has SSE (1), AVX
/// (2) and the three parts of AVX-512 (5 to 7).
#[test]
fn vectors_need_the_operating_system() {
    use block_stores::x86_64::{Registers, read};
    let leaves = |ecx_of_1: u32| {
        crate::cpu::recorded::reader(match ecx_of_1 {
            0 => &[(0, 0, [7, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]), (7, 0, [0, 1 << 16, 0, 0])],
            _ => &[
                (0, 0, [7, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
                (1, 0, [0, 0, 1 << 28 | 1 << 27, 0]),
                (7, 0, [0, 1 << 16, 0, 0]),
            ],
        })
    };
    let never = || -> u64 { unreachable!("XGETBV faults where OSXSAVE is not set") };
    let has = |stores: BlockStores, wanted: &[BlockStore]| {
        for store in x86::BLOCK_STORES {
            assert_eq!(stores.has(*store), wanted.contains(store), "{}", store.name);
        }
        assert!(stores.evicts, "GenuineIntel");
    };
    let integer = [MOV, MOVNTI];
    let avx = [MOV, MOVNTI, VMOVDQA, VMOVNTDQ_256];
    has(read(&leaves(0), Registers::Vector, never), &integer);
    has(read(&leaves(1), Registers::Integer, never), &integer);
    has(read(&leaves(1), Registers::Vector, || 0b11), &integer);
    has(read(&leaves(1), Registers::Vector, || 0b111), &avx);
    has(read(&leaves(1), Registers::Vector, || 0b0110_0111), &avx);
    has(read(&leaves(1), Registers::Vector, || 0b1110_0111), x86::BLOCK_STORES);
}

/// Every recorded machine: only Intel's manual promises that streaming stores evict.
#[test]
fn the_promise_is_intels_alone() {
    use crate::cpu::recorded::{reader, x86::MACHINES};
    use block_stores::x86_64::{Registers, read};
    for machine in MACHINES {
        let stores = read(&reader(machine.cpuid), Registers::Vector, || 0);
        let is_intel = machine.name.contains("Intel") || machine.name.contains("intel");
        assert_eq!(stores.evicts, is_intel, "{}", machine.name);
    }
}

/// FEX has Intel's name, and its own in leaf `4000_0000H` (its `docs/CPUID.md`).
#[test]
fn a_translator_and_an_unknown_hypervisor_promise_nothing() {
    use crate::cpu::recorded::reader;
    use block_stores::x86_64::{Registers, read};
    const INTEL: Leaf = (0, 0, [7, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]);
    // CLFLUSH with lines of 64 bytes, and SSE2.
    const FEATURES: Leaf = (1, 0, [0, 0x0800, 0, 0x0408_0000]);
    // "FEXI", "FEXI", "EMU\0" in EBX, ECX, EDX.
    const FEX: Leaf = (0x4000_0000, 0, [0x4000_0001, 0x4958_4546, 0x4958_4546, 0x0055_4d45]);
    // CPUID.1:ECX[31]: a guest. "AAAAAAAAAAAA" is nobody's signature, and "KVMKVMKVM" is KVM's.
    const GUEST: Leaf = (1, 0, [0, 0x0800, 1 << 31, 0x0408_0000]);
    const UNKNOWN: Leaf = (0x4000_0000, 0, [0x4000_0001, 0x4141_4141, 0x4141_4141, 0x4141_4141]);
    const KVM: Leaf = (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x0000_004d]);
    let evicts = |leaves: &[Leaf]| read(&reader(leaves), Registers::Vector, || 0).evicts;
    assert!(!evicts(&[INTEL, FEATURES, FEX]));
    assert!(!evicts(&[INTEL, GUEST, UNKNOWN]));
    assert!(!evicts(&[INTEL, GUEST]));
    assert!(evicts(&[INTEL, GUEST, KVM]));
}

/// AMD EPYC, family 23 model 1, whose write-back evicts: ordinary stores take 317 ns and streaming ones 220 at 1 KiB, and 232
/// and 304 if L1 has the lines: at worst 1.44 and 1.31 of the best. 4 KiB: 810 and 371, 524 and 490. Family 25 model 17, whose
/// CLWB keeps the line: 289 and 327, 213 and 401 at 1 KiB.
#[test]
fn streaming_begins_earlier_where_the_write_back_evicts() {
    let amd = choice(&[MOV, MOVNTI, VMOVDQA, VMOVNTDQ_256], false);
    let streams =
        |size, hint, effect| amd.method(size, hint, effect).0 == Method::StreamingThenWriteback;
    let (keeps, evicts) = (Effect::Writeback, Effect::WritebackInvalidate);
    let unknown = [256, 1024, 4096].map(|size| streams(size, Destination::Unknown, evicts));
    assert_eq!(unknown, [false, true, true]);
    let cached = [1024, 4096].map(|size| streams(size, Destination::Cached, evicts));
    assert_eq!(cached, [false, true]);
    let kept = [1024, 4096].map(|size| streams(size, Destination::Unknown, keeps));
    assert_eq!(kept, [false, true]);
}

/// Cold lines of 64 bytes on Emerald Rapids: 303 ns by ordinary stores and 206 by streaming ones. Intel, model 167: 376 and
/// 406; of 256 bytes in L1 399 and 448.
#[test]
fn stores_that_evict_are_used_for_a_single_cold_line_only_with_the_hint() {
    let intel = choice(&[MOV, MOVNTI, VMOVDQA64, VMOVNTDQ_512], true);
    let streams = |size, hint| intel.method(size, hint, Effect::Writeback).0 == Method::Streaming;
    assert!(streams(64, Destination::Cold) && !streams(0, Destination::Cold));
    assert!(!streams(256, Destination::Unknown) && streams(512, Destination::Unknown));
    assert!(!streams(512, Destination::Cached) && streams(1024, Destination::Cached));
}

/// Copies that skip the tables rely on it.
#[test]
fn every_table_has_ordinary_stores_for_small_copies_unless_the_destination_is_cold() {
    for evicts in [true, false] {
        for stores in [&[MOV][..], &[MOV, MOVNTI], &[VMOVDQA64, VMOVNTDQ_512]] {
            for (hint, effect) in HINTS.into_iter().flat_map(|hint| EFFECTS.map(|one| (hint, one)))
            {
                for size in (0..=512).filter(|size| is_always_ordinary(*size, hint)) {
                    let Some(table) = choice(stores, evicts).table(effect) else { continue };
                    let method = table.method(size, hint);
                    assert_eq!(method, Method::Ordinary, "{hint:?} {evicts} {stores:?}");
                }
            }
        }
    }
}
