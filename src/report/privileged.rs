//! The report on a CPU, from registers that only privileged code can read.

use super::cpu::CpuReport;
use crate::arch::native;
use crate::cache::Builder;
use crate::cpu;

impl CpuReport {
    /// Returns the report on the CPU that this kernel or hypervisor runs on, with the choices that
    /// [`Cache::privileged`](crate::Cache::privileged) makes.
    ///
    /// On arm64 it reads `CTR_EL0`, `ID_AA64ISAR1_EL1` and `MIDR_EL1`; on x86 it is [`host`](Self::host), which detects
    /// ring 0.
    ///
    /// # Safety
    /// 1. On arm64 this CPU is at EL1 or higher.
    #[must_use]
    pub unsafe fn privileged() -> Self {
        // SAFETY: (1) is the caller's duty.
        let cpu = unsafe { cpu::here_privileged() };
        Self::new(&native::ARCHITECTURE, cpu, Builder::new().privileged())
    }

    /// Returns the report on the CPU of a handle that privileged code made.
    pub(super) fn of_privileged_handle(conditions: Builder) -> Self {
        // SAFETY: (1) the maker of a handle with these conditions vouched for it.
        let cpu = unsafe { cpu::here_privileged() };
        Self::new(&native::ARCHITECTURE, cpu, conditions)
    }
}
