//! RISC-V: the kernel reports the permitted instructions and the block size by `riscv_hwprobe`.
//!
//! The bit of Zicbom is set only if all online harts have it (`arch/riscv/kernel/sys_hwprobe.c`), and since 6.15 the
//! kernel enables it for user mode (Linux `arch/riscv/kernel/cpufeature.c`, `riscv_user_isa_enable`). If an offline
//! hart lacks it, the kernel may not have enabled it; no such machine is known. A key that the kernel does not know
//! comes back as -1. No set of CPUs is passed, so the answer covers all harts: one hart's answer says nothing about the
//! others (`Documentation/arch/riscv/hwprobe.rst`).

native_only! { riscv {
    pub(super) mod host;
} }

use super::reading::{line_size, shown};
use super::{Cpu, CpuIdentity, Line};
use crate::arch::riscv::{ARCHITECTURE, CBO_CLEAN, CBO_FLUSH};
use crate::arch::{Missing, Point, Unsupported};

/// Linux `arch/riscv/include/uapi/asm/hwprobe.h`.
const KEY_MVENDORID: i64 = 0;
const KEY_MARCHID: i64 = 1;
const KEY_MIMPID: i64 = 2;
const KEY_IMA_EXT_0: i64 = 4;
const KEY_ZICBOM_BLOCK_SIZE: i64 = 12;
/// In the value of [`KEY_IMA_EXT_0`].
const EXT_ZICBOM: u64 = 1 << 55;

/// The keys that the kernel is asked for, in this order.
const KEYS: [i64; 5] =
    [KEY_MVENDORID, KEY_MARCHID, KEY_MIMPID, KEY_IMA_EXT_0, KEY_ZICBOM_BLOCK_SIZE];

/// The kernel's answers: `None` for a key that it does not know.
pub(crate) type Answers = [Option<u64>; KEYS.len()];

const NO_HWPROBE: Unsupported = Unsupported::new(
    Missing::Permission,
    "this kernel has no riscv_hwprobe (Linux has it since 6.4), so the permissions of user mode are \
     unknown",
    "run a newer kernel, or use Cache::from_facts if cbo.clean is known to be permitted",
);

const NO_ZICBOM_KEY: Unsupported = Unsupported::new(
    Missing::Permission,
    "this kernel's riscv_hwprobe does not report Zicbom (Linux does since 6.15), and on older kernels user mode may \
     not execute it",
    "run a newer kernel",
);

/// Returns the CPU that these answers describe; `None` if the kernel has no `riscv_hwprobe`.
#[cfg_attr(
    not(any(target_os = "linux", test)),
    expect(dead_code, reason = "only Linux can be asked")
)]
pub(crate) fn read(answers: Option<Answers>) -> Cpu {
    let Some([vendor, architecture, implementation, extensions, block]) = answers else {
        return Cpu::refused(NO_HWPROBE);
    };
    let has_zicbom = extensions.is_some_and(|bits| bits & EXT_ZICBOM != 0);
    let line = match (has_zicbom, block) {
        (_, None) => Err(NO_ZICBOM_KEY),
        (false, Some(_)) => Err(ARCHITECTURE.unreachable[Point::Coherency as usize]),
        (true, Some(bytes)) => line_size(usize::try_from(bytes).unwrap_or(usize::MAX)),
    };
    let may_execute = has_zicbom && block.is_some();
    Cpu {
        identity: CpuIdentity::RiscV { vendor, architecture, implementation },
        present: shown([(may_execute, CBO_CLEAN), (may_execute, CBO_FLUSH)]),
        line: line.map(|size| Line {
            size,
            granule: size,
            source: "riscv_hwprobe, ZICBOM_BLOCK_SIZE",
        }),
        ..Cpu::refused(NO_ZICBOM_KEY)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, read};
    use crate::arch::riscv::{CBO_CLEAN, CBO_FLUSH};
    use crate::arch::{Missing, Point, Unsupported};
    use crate::cache::{Builder, Cache};

    /// Zicbom is bit 55 of the extensions (Linux `hwprobe.h`); the other bits are C, V and Zba.
    const OTHERS: u64 = 0b1110;
    const ZICBOM: u64 = 0x0080_0000_0000_0000;

    fn kernel(extensions: u64, block: Option<u64>) -> Answers {
        [Some(0x489), Some(7), Some(0), Some(extensions), block]
    }

    fn refusal(answers: Option<Answers>) -> Unsupported {
        let cpu = read(answers);
        assert_eq!(cpu.present, 0, "an instruction that is not permitted must never be chosen");
        cpu.facts().unwrap_err()
    }

    #[test]
    fn both_instructions_are_there_with_the_block_that_the_kernel_says() {
        for block in [32, 64, 128, 256] {
            let cpu = read(Some(kernel(OTHERS | ZICBOM, Some(block as u64))));
            let facts = cpu.facts().unwrap();
            assert!(facts.has(CBO_CLEAN) && facts.has(CBO_FLUSH));
            assert_eq!(facts.line_size(), block);
            assert_eq!(cpu.line.unwrap().granule, block);
        }
    }

    /// libpmem does nothing here and reports success.
    #[test]
    fn an_unreported_user_mode_permission_counts_as_denied() {
        // Before 6.4; from 6.4 to 6.14; since 6.15 with a hart that has no Zicbom, whose block size
        // is 0 then.
        assert_eq!(refusal(None).missing, Missing::Permission);
        assert_eq!(refusal(Some(kernel(OTHERS, None))).missing, Missing::Permission);
        assert_eq!(refusal(Some(kernel(OTHERS, Some(0)))).missing, Missing::Instruction);
        // A kernel that reports the extension before it enabled it for user mode.
        assert_eq!(refusal(Some(kernel(OTHERS | ZICBOM, None))).missing, Missing::Permission);
    }

    #[test]
    fn a_block_size_that_cannot_be_one_is_refused_by_its_number() {
        for (block, found) in [(0, 0), (48, 48), (4096, 4096), (1 << 40, u32::MAX)] {
            let facts = read(Some(kernel(ZICBOM, Some(block)))).facts();
            assert_eq!(facts.unwrap_err().missing, Missing::LineSize(found));
        }
    }

    /// The ISA has no point of persistence: only the caller can vouch for one.
    #[test]
    fn persistence_is_refused_unless_coherency_is_accepted_for_it() {
        let facts = read(Some(kernel(ZICBOM, Some(64)))).facts().unwrap();
        let choose = |point, conditions: Builder| {
            Cache::choose(&super::ARCHITECTURE, facts, conditions.point(point))
        };
        let refused = choose(Point::Persistence, Builder::new()).err().map(|why| why.missing);
        assert_eq!(refused, Some(Missing::Point));
        let accepted = choose(Point::Persistence, Builder::new().accept_coherency_as_persistence());
        assert_eq!(accepted.unwrap().writeback_code(), CBO_CLEAN.code);
        assert!(
            choose(Point::DeepPersistence, Builder::new().accept_coherency_as_persistence())
                .is_err()
        );
    }
}
