//! The abilities of this machine, the choices made, the refusals with reasons, and what survives.
//!
//! [`CpuReport`] shows the instructions that the CPU and the operating system permit; it needs neither an operating
//! system nor an allocator. [`HostReport`] adds facts from Linux's `/proc` and `/sys`, or on other systems the calls
//! that persist files. Both print on one screen of 80 columns and 38 lines, in plain ASCII; long names and damaged
//! regions can take more lines. With feature `serde` both are [serialised](#json). Every "no" and every "unknown" has a
//! reason and advice.
//!
//! # JSON
//! Both reports are objects with `"schema": 1`. Names are in snake case. A schema may gain names, but the meaning of an
//! existing name does not change.
//!
//! | name | of | what |
//! |---|---|---|
//! | `architecture` | CPU | as Rust names it |
//! | `identity` | CPU | `kind` is `x86` (`vendor`, `family`, `model`, `stepping`, `brand`), `aarch64` (`midr`, and of it `implementer`, `part`, `variant`, `revision`, names if known), `riscv` (`vendor`, `architecture`, `implementation`: the registers' numbers), `platform` (`name`) or `unknown` |
//! | `line` | CPU | `available`; `bytes`, `granule_bytes`, `source` |
//! | `instructions` | CPU | list of `name`, `effect`, `point`, `requires`, `source`, `status` (`present`, `absent`, `refused`), and for the latter two `missing`, `reason`, `advice` |
//! | `writeback` | CPU | `coherency`, `persistence`, `deep_persistence`: each `available`; `instruction`, `effect`, `before`, `after` (fences), `source` |
//! | `invalidate` | CPU | the same |
//! | `accepts_coherency_as_persistence` | CPU | true if the caller said so |
//! | `aliasing` | CPU, host | `aliases` (`true`, `false` or `null`); `source`, or `reason` and `advice`. If the architecture leaves it open, the host's value comes from `/proc/cpuinfo` |
//! | `hypervisor` | CPU | `present` (`true`, `false`, `null`), `name`, `signature` (the first), `signatures`, `is_root` |
//! | `confidential` | CPU | `kind` is `tdx`, `hyper_v` (`isolation`: `vbs`, `sev_snp`, `tdx`, `other`; `paravisor`), `sev_offered` (`es`, `snp`, `coherent`) or `unknown` |
//! | `effects` | CPU, host | `whole_cache`, `lines`, `migration`: each `answer`, `text`, `source`, `certainty` (`documented`, `read_in_source`, `measured`, `assumed`) |
//! | `whole_cache` | CPU | the operation on the whole cache by which [memory can be invalidated](CpuReport::can_invalidate_memory): `available`; `instruction`, `source` |
//! | `notes` | CPU | list of `text`, `source` |
//! | `cpu` | host | all of the above |
//! | `kernel` | host | `name`, `release` |
//! | `page_size`, `shmlba` | host | `bytes` |
//! | `caches` | host | `levels`: list of `level`, `kind`, `size`, `line` (bytes), `ways`, `sets`, `shared_by` (CPUs) |
//! | `surroundings` | host | `hypervisor`, `confidential`, `container`, from the kernel's files |
//! | `guest_hints` | host | list of `asked`, `answer` |
//! | `regions` | host | `list`: `name`, `provider`, `size`, `available_size` (bytes), `domain`, `meaning`, `is_claim` (always true), `read_only`, `deep_flush` (the DIMMs' buffers can be flushed), `numa_node`, `bad_bytes` (known media errors), each `null` if not shown. `bad_bytes_may_be_more` is true if the kernel's list is full, cut, invalid or unreadable. Also `devices` (list of `name`, `id` or `null`, `unsafe_shutdowns`: a number, or `reason` and `advice`; `failures`: list of `save_fail`, `restore_fail`, `flush_fail`, `not_armed`, `map_fail`), `evidence`; if empty, `reason` and `advice` |
//! | `backings` | host | the backings that [`survival`](HostReport::backings) is shown for |
//! | `survival` | host | list of `backing`, `event`, `stage` (`stored`, `persisted`, `deep_persisted`), `answer` (`yes`, `no`, `not_promised` or `{"if": {"code": …, "text": …}}`), `text`, `source`, `certainty` |
//!
//! If `available` is `false`, `missing`, `reason` and `advice` replace the rest. If `kernel`, `page_size`, `shmlba`,
//! `caches` or `regions` is unknown, it has only `reason` and `advice`.

mod cpu;
#[cfg(feature = "serde")]
pub(crate) mod json;
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "registers that only privileged code may read")]
mod privileged;
pub(crate) mod screen;

#[cfg(test)]
mod tests;

pub use crate::arch::WholeCacheOperation;
pub use crate::cpu::{
    Confidential, CpuIdentity, Hypervisor, HypervisorKind, Isolation, Line, Signatures, Text,
};
pub use crate::statement::{Certainty, Statement};
pub use crate::virtualization::{Effects, Handling, Migration, Refused, RefusedBy};
pub use cpu::{Availability, CpuReport, Note, Status};
