//! The structure of the crate, and the reasons to rely on it. This module has no code.
//!
//! # Layers
//! Each module may use only the modules above it, and name their features. A feature belongs to the last module that
//! lists it; a module that lists it earlier may name it as well. `cargo xtask arrows` checks both.
//!
//! | module | features | content |
//! |---|---|---|
//! | `arch` | `privileged` | the instructions of one architecture, their conditions, and the fences that complete them: facts, no policy |
//! | [`instruction`](crate::instruction) | `privileged` | the instructions and facts by name, to describe a machine |
//! | `cpu` | `dax` | the features that the CPU reports, and those that its kernel permits in user mode |
//! | [`survival`](crate::survival) | | the data that each event keeps: backings, domains, events, and the table |
//! | `virtualization` | | the effect of hypervisors and confidential guests on cache maintenance: tables |
//! | `system` | `dax`, `journal`, `preserve`, `recorder` | the evidence of the operating system from `/proc` and `/sys` |
//! | [`aliasing`](crate::aliasing) | `dax` | two addresses of one page: the places where they agree, and their placement |
//! | [`cache`](crate::cache) | | the choice, made once, and the operations on ranges; and copies that are written back |
//! | [`coherence`](crate::coherence) | | memory shared with observers that do not see the cache: the pair of release and acquire |
//! | [`medium`](crate::medium) | `sim` | the trait that logs are written against |
//! | [`whole_cache`](../whole_cache/index.html) | | WBINVD and its like, and ranges of physical memory, for privileged code |
//! | `process` | `dax`, `recorder` | this process, distinguished from its forked children |
//! | `signals` | `dax`, `recorder` | handlers that call the former ones |
//! | [`sim`](../sim/index.html) | `sim` | a medium that shows every state a crash may leave, for tests |
//! | [`dax`](crate::dax) | `dax`, `preserve`, `recorder` | a file on DAX, or its nearest substitute; a medium |
//! | `sync` | `journal`, `recorder` | atomics and fences in ordinary memory, which the simulator and loom replace |
//! | `format` | `journal`, `recorder`, `preserve`, `preserve-read` | the common parts of the formats: fields, tags, the beginning of a superblock |
//! | [`journal`](../journal/index.html) | `journal` | a log in a medium that loses nothing acknowledged |
//! | [`recorder`](../recorder/index.html) | `recorder` | a flight recorder in a medium: the last events of each thread |
//! | [`preserve`](../preserve/index.html) | `preserve`, `preserve-read` | named blobs in a medium, replaced atomically, that outlive reboots |
//! | [`report`](crate::report) | | the features of the machine, the choices and their reasons, and the data that survive each event |
//! | [`prelude`](crate::prelude) | | the traits, for generic code |
//!
//! `cpu` reads one part of the operating system itself, `/sys/devices/system/cpu`: a thread can move to any CPU of the
//! machine, so the choice needs the errata and the line sizes of all. `system` serves `dax` and `report`, and the three
//! formats take two facts from it: the clock, for timeouts and timestamps, and the identity of the boot.
//!
//! # Three ways from a call to the instruction
//! A hop is a call of one function by another; closures and the standard library do not count. The lists are in the
//! order of the calls.
//!
//! | call | hops | on the way |
//! |---|---|---|
//! | [`Cache::host`](crate::Cache::host) | 2 | `Chosen::get` loads the choice, and `Plan::from_word` decodes it. The first call instead goes to `Chosen::choose`: `Cache::detect` asks the CPU (`cpu::here_for_choice`), takes what an erratum forbids from the answer (`Cpu::facts`), and chooses (`Cache::planned`, `Plan::choose`). |
//! | `file.persist(64..96)` | 8 | `DaxFile::persist` calls `DaxView::persist`, which branches to lines, the fence alone or pages: that is known since the opening. `DaxView::persist_lines` checks the range. `Cache::writeback_range` finds the lines (`Cache::maintain`). `ops::maintain` branches on the instruction once, executes it on each line (`Lines::for_each`), and its fence completes them (`ops::fence`). Two hops more, `DaxView::check_stores` and `Slot::are_unused`, load one word: it says if a guarded access of the process can have lost stores. The compiler inlines all of them (`golden_dax_persist` in `tests/asm`). |
//! | `journal.append(payload)` | 4 to the medium's fence, 4 more to the acknowledgement | `stored` does all but the wait. `place` reserves (`try_place`, `InFlight::reserve`). `Claim::store` branches on the length: `store_small` or `store_large` stores header, payload and tag, and issues the write-back of all but the part with the tag. It ends with `Claim::complete`, which issues the rest, at the beginning of a segment its header too, and fences. `Claim::done` enters that the record is durable and moves the watermark (`InFlight::done`). `Pending::wait` waits until the watermark is behind the record (`is_acknowledged`, `InFlight::advance`, `InFlight::moved`). Each move of the watermark loads the number of threads that wait (`announce_watermark`, `Waiters::wake`). The fence of a [`DaxFile`](crate::dax::DaxFile) is 6 hops: `Medium::fence`, `DaxFile::fence`, `DaxView::fence`, which branches as above, `Cache::fence`, `ops::maintain`, `ops::fence`. |
//!
//! # Names that their module qualifies
//! A module's main type has a name that is clear by itself, such as [`Journal`](../journal/struct.Journal.html), and the
//! root exports the first one that a user needs. The types beside it, which every module of its kind has, have short
//! names: `Error`, `ErrorKind`, `Options`, `Reader`, `Progress`, `Identity`, `Damage`. Code writes them with the module, as
//! `journal::Options` and `recorder::Reader`, so that a prefix would say the same twice; a program that uses two modules
//! imports the modules. The standard library does so too: `io::Error`, `fmt::Error`. A short name must have the same
//! meaning in each module. So a region is part of a store, and one of persistent memory is a
//! [`PmemRegion`](../report/struct.PmemRegion.html). One word of the field has two meanings: a
//! [`survival::Event`](crate::survival::Event) happens to the machine, and a
//! [`recorder::Event`](../recorder/struct.Event.html) is what a program records.
//!
//! # Why write-back and fence are two steps
//! A write-back instruction starts the transfer of a line and returns. On x86 SFENCE or MFENCE orders those of the same
//! CPU before later stores (Intel SDM vol. 2A, CLWB), on arm64 DSB waits for them (Arm ARM, "Ordering and completion of
//! data and instruction cache instructions"); a DMB orders but does not wait. So a fence is as much a part of the guarantee as the instruction, and it must be executed by the
//! thread that issued. The plain operations do both; [`Batch`](crate::cache::Batch) does the second when it
//! is dropped.
//!
//! # What a crash can leave
//! A line can be written back at any time, asked for or not. So "not written back" never means "not
//! persistent": code is right only if each order in which lines could reach memory leaves something
//! it can recover from. Within a line, aligned words of 8 bytes do not tear if one instruction stores them. A 32-bit
//! CPU may store such a word by two, and a crash can keep one of them: there aligned words of 4 bytes do not tear. Media
//! have whole words of 8 bytes, and exist only for targets with atomics of 64 bits.
//!
//! # What no test on one machine can show
//! A process that is killed keeps all its stores: the caches are coherent and belong to the machine.
//! Neither SIGKILL nor an emulator (which has no caches) can show a missing write-back. The code below
//! the medium is therefore checked against the manuals as tables, by the emitted machine code,
//! and by executing on CPU models. One machine also does not have two caches that are not coherent. Code that relies on
//! [`coherence`](crate::coherence) is run on a model of two such caches, which evicts and fetches lines at the worst
//! moments (`tests/coherence`).
//!
//! The code above the medium is run on a simulated medium. [`sim`](../sim/index.html) remembers each store, write-back
//! and fence with its place in the source, and hands recovery every state that the architectures let a crash leave. A
//! word with several possible values is decided only when recovery reads it. So one run covers all states that it
//! cannot distinguish, and no state is left out. The rules are in one place, and are checked against the litmus tests
//! that were published with the formal models and against brute force (`tests/simulator`). A test there counts once no
//! write-back, fence or ordering can be left out without one failing, which a mutation run shows.
