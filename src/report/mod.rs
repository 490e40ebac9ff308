//! The instructions of this CPU, the choices made, and the refusals with reasons.
//!
//! [`CpuReport`] shows the instructions that the CPU and the operating system permit; it needs neither an operating
//! system nor an allocator. It prints on one screen of 80 columns, in plain ASCII. With feature `serde` it is
//! [serialised](#json). Every "no" and every "unknown" has a reason and advice. The crate `cachemaint-inspect` adds what
//! the kernel's files show of the machine.
//!
//! # JSON
//! The report is an object with `"schema": 1`. Names are in snake case. A schema may gain names, but the meaning of an
//! existing name does not change.
//!
//! | name | what |
//! |---|---|
//! | `architecture` | as Rust names it |
//! | `identity` | `kind` is `x86` (`vendor`, `family`, `model`, `stepping`, `brand`), `aarch64` (`midr`, and of it `implementer`, `part`, `variant`, `revision`, names if known), `riscv` (`vendor`, `architecture`, `implementation`: the registers' numbers), `platform` (`name`) or `unknown` |
//! | `line` | `available`; `bytes`, `granule_bytes`, `source` |
//! | `instructions` | list of `name`, `effect`, `point`, `requires`, `source`, `status` (`present`, `absent`, `refused`), and for the latter two `missing`, `reason`, `advice` |
//! | `writeback` | `coherency`, `persistence`, `deep_persistence`: each `available`; `instruction`, `effect`, `before`, `after` (fences), `source` |
//! | `invalidate` | the same |
//! | `accepts_coherency_as_persistence` | true if the caller said so |
//! | `aliasing` | `aliases` (`yes`, `no`, `unknown`); `source`, or `reason` and `advice` |
//! | `hypervisor` | `kind` is `present` (`signatures`, `is_root`), `translated`, `absent` or `unknown` |
//! | `confidential` | `kind` is `tdx`, `hyper_v` (`isolation`: `vbs`, `sev_snp`, `tdx`, `other`; `paravisor`), `sev_offered` (`es`, `snp`, `coherent`, `needs_eviction`) or `unknown` |
//! | `whole_cache` | the operation on the whole cache by which [memory can be invalidated](CpuReport::can_invalidate_memory): `available`; `instruction`, `source` |
//! | `notes` | list of `text`, `source` |
//!
//! If `available` is `false`, `missing`, `reason` and `advice` replace the rest.

mod cpu;
#[cfg(feature = "serde")]
pub(crate) mod json;
pub(crate) mod screen;

#[cfg(test)]
mod tests;

pub use crate::arch::WholeCacheOperation;
pub use crate::cpu::{
    Confidential, CpuIdentity, Hypervisor, Isolation, KNOWN_SIGNATURES, Line, Signatures, Text,
};
pub use crate::statement::{Certainty, Statement};
pub use crate::virtualization::{Refused, RefusedBy};
pub use cpu::{Availability, CpuReport, Note, Status};
