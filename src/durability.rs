//! The calls that make data durable: their users, guarantees and costs. There is no code here.
//!
//! A store reaches this CPU's caches. Each call below takes it farther, and an event takes away the stores that had not
//! got far enough:
//!
//! ```text
//!   store ──▶ caches of the CPUs ──▶ memory controller ──▶ medium (NVDIMM, CXL memory, a file's drive)
//!         store            writeback, persist       deep_persist
//!
//!   process crash:  nothing of a shared mapping is lost
//!   kexec:          nothing is lost of memory that the next kernel is instructed to keep. x86 resets no CPU, and on
//!                   arm64 firmware writes back the caches of each CPU that it powers off
//!   reset, panic:   bytes only in caches are lost, unless the platform flushes them
//!   power loss:     bytes outside of the persistence domain are lost. With ADR the domain begins at the memory
//!                   controller, with eADR at the caches; ordinary RAM has none
//! ```
//!
//! # The calls
//! A *line* is a cache line. A *fence* has the write-backs of this thread complete before any store that follows. Costs
//! are those of a mapping that is persisted by lines. [By pages](#the-cost-by-pages) each range is a system call (`msync` or
//! its like). It returns with those that other threads make beside it on the same open file: the kernel reports a failure
//! to one of them alone. `file` is a `DaxFile`, or a `Region` of a store, which has the first of these calls.
//!
//! | call | durable when it returns | who calls it | cost |
//! |---|---|---|---|
//! | a store, `file.write`, `file.store` | nothing | all programs, before one of the next | none |
//! | `file.persist` | the range, for the events that [`Guarantee`] names. **If in doubt, this one** | code with structures of its own in a file | one instruction a line, one fence |
//! | `file.persist_copy`, `persist_copy_to`, `persist_fill`, `persist_copy_within` | the bytes that it stores, likewise | the same, with the bytes at hand: faster than `write` and `persist` for long copies | the faster of stores past the cache and stores with write-back, one or two fences for all parts |
//! | `file.issue_writeback`, then `file.fence` | nothing after the first; after the second as `persist` | code that has something else to do between the two | as `persist` |
//! | `file.view().batch` | all of its ranges, likewise | code that changes several places | one instruction a line, one fence for all ranges |
//! | `file.deep_persist` | the range, without the platform's stored energy | a database's checkpoint, not each record | as `persist`, and a system call that waits for the medium |
//! | [`Cache::writeback`], [`batch`] | nothing that this crate could promise: the bytes are at the handle's [`Point`] | drivers and kernels; authors who map memory themselves, with [`Cache::persistent`] | one instruction a line, the fences of the CPU |
//! | [`Cache::copy_writeback`] and its like | the same, for the bytes that it stores | the same | as `persist_copy` |
//! | [`Cache::unfenced`], then [`Cache::fence`] | the same: nothing before the fence | authors of libraries that copy in several steps | the same, with the last fence apart |
//! | `Persister::persist_range`, `deep_persist_range` | as `file.persist` and `file.deep_persist`, of an address in a mapping of the caller's | the same, with the guarantee of the file at hand | as those |
//! | [`Medium::persist`] | the range, as far as the medium goes: `DaxFile` as above, [`Memory`] to the point of its cache | authors of structures that run on files, on memory and in the simulator | that of the medium |
//! | [`coherence::release`] | **nothing**: another observer of the memory sees the bytes | drivers, rings between hosts | one instruction a line, one fence |
//! | `Journal::append`, `append_within`, `append_group`, `Reservation::finish` | the record and all before it | programs that log; the second waits while the journal is full | one write-back of the record, one fence, more for a long record; waits for records before it |
//! | `Journal::submit` or `Reservation::submit`, then `Pending::wait` | the record after the first; it counts after the second, when all before it are durable | programs with several records under way | the same |
//! | `recorder::Writer::record` | as `Durability` says: nothing, all but the newest sub-buffer, or the event | programs that trace | stores alone: 11 ns for an event of 40 bytes (AMD EPYC, family 25 model 17, virtual machine, Linux 6.18, DRAM) |
//! | `Recorder::write_back_all` | all events that this opening recorded before it | a crash handler, the end of a program | one instruction for each new line |
//! | `Transaction::commit` | all changes of the transaction, together | programs that keep state | write-backs of the changes, two or three fences; more for the first after a seal |
//! | `Store::seal` | all bytes in use, as by `deep_persist` | before a reboot that is planned | write-back of these bytes |
//! | a pass of `cachemaint guard` | the stores of other programs before the pass, when the pass ends | an operator, for programs that never flush | one instruction for each line of the files |
//!
//! # The cost by pages
//! By pages a fence is free, and each range that is written back is one `msync`. On a drive each `msync` waits for the drive
//! and ends with a flush of its cache, if the file system issues flushes. Their number was counted with strace (Linux 6.18,
//! x86-64, ext4; a journal of 1 MiB, a store of 16 MiB with up to 12 blobs):
//!
//! | call | calls of `msync` |
//! |---|---|
//! | `file.persist` | 1 |
//! | `file.persist_copy` of three parts, a `batch` of two ranges | 3, 2 |
//! | `Journal::append`, `append_group` | 1; 3 where the record enters a segment |
//! | `Journal::trim`, `close` | 1 |
//! | `Journal::open` | 4 |
//! | `Journal::open_or_create` that creates | 6 |
//! | `Transaction::put` of 100 bytes, of 1 MiB | 1, 2 |
//! | `Transaction::create_region` of 1 MiB | 1 |
//! | `Transaction::commit` of one or ten blobs | 4; 8 after a seal. With 3000 blobs 6 for one, 24 for ten |
//! | `Store::region` | 8 |
//! | `Store::create_new`, `open` | 9 |
//!
//! The opening of the file itself was 2 calls of `fsync`, and its creation 3.
//!
//! # Mistakes that testing on a laptop does not show
//! - [`Cache::host`] aims at the point of coherency: RAM. For persistence take [`Cache::persistent`], or a `DaxFile`,
//!   which knows its medium.
//! - A killed process loses nothing: the caches keep its stores. Only a simulator shows a missing write-back: feature
//!   `sim`.
//! - A range is durable, not the order of two: data that must not be found without something else are persisted after
//!   it.
//! - A line can reach the medium at any time, before `persist` too, in units of 8 bytes: recovery must be able to detect it.
//!
//! [`Guarantee`]: ../dax/struct.Guarantee.html
//! [`Cache::writeback`]: crate::Cache::writeback
//! [`batch`]: crate::Cache::batch
//! [`Cache::copy_writeback`]: crate::Cache::copy_writeback
//! [`Cache::fence`]: crate::Cache::fence
//! [`Cache::host`]: crate::Cache::host
//! [`Cache::persistent`]: crate::Cache::persistent
//! [`Cache::unfenced`]: crate::Cache::unfenced
//! [`Point`]: crate::Point
//! [`Medium::persist`]: crate::medium::Medium::persist
//! [`Memory`]: crate::medium::Memory
//! [`coherence::release`]: crate::coherence::release
