//! The names of this crate's operations in other projects and manuals, and the differences. There
//! is no code here.
//!
//! One word stands for different operations. *Flush* is a write-back in libpmem, Zephyr and Windows, a write-back that
//! also drops the line in RISC-V, PowerPC and x86 manuals, and nothing that reaches memory in most of Linux. So this
//! crate says write back, invalidate, and fence.
//!
//! # Linux
//! | there | here | where they differ |
//! |---|---|---|
//! | `arch_wb_cache_pmem` | [`writeback`](crate::Cache::writeback) to [persistence](crate::Point::Persistence) | on x86 it ends without a fence, which `nvdimm_flush` or the caller adds; on arm64 without DC CVAP it goes to coherency, where this crate refuses |
//! | `arch_invalidate_pmem` | [`invalidate`](crate::Cache::invalidate) | on arm64 and RISC-V the kernel discards dirty lines; user mode cannot, so that they are written back here |
//! | `memcpy_flushcache` | [`copy_writeback`](crate::Cache::copy_writeback) | on x86 streaming stores without a fence, on every vendor's CPUs; here lines are written back where no vendor promises that these leave none behind |
//! | `dma_sync_*_for_device` | `writeback` before a device reads, `invalidate` before it writes | it does nothing for devices that snoop; this crate knows no device: [`coherence`](crate::coherence) has the pair, and [`Coherent`](crate::coherence::Coherent) for those that snoop |
//! | `dma_sync_*_for_cpu` | `invalidate` after a device has written | the same |
//! | `clflush_cache_range` | [`writeback_invalidate`](crate::Cache::writeback_invalidate) | the same instructions with the same fences (MFENCE around CLFLUSHOPT) |
//! | `cpu_cache_invalidate_memregion` | `whole_cache::PhysicalRange` (feature `privileged`) | there x86 drops whole caches, and arm64 asks drivers of the platform. Here providers, lines of a mapping and whole caches are tried in turn, and an uncovered byte is an error |
//! | `cpu_cache_has_invalidate_memregion` | [`can_invalidate_memory`](crate::report::CpuReport::can_invalidate_memory) | the whole cache of all CPUs alone; refused under any hypervisor |
//! | `flush_cache_range`, `flush_cache_mm`, `flush_cache_vmap` | none | they keep caches that are indexed by virtual addresses right when page tables change, and do nothing on x86 and arm64: nothing is made persistent by them |
//! | `flush_dcache_page`, `flush_dcache_folio` | none | they make a user's and the kernel's mapping of one page agree on aliasing caches |
//! | `nvdimm_flush`, `deep_flush` in sysfs | `deep_persist` of a DAX file | it empties queues behind the memory controller, and no CPU cache; here the lines are written back first |
//!
//! # FreeBSD
//! | there | here | where they differ |
//! |---|---|---|
//! | `cpu_dcache_wb_range` | `writeback` | kernel only |
//! | `cpu_dcache_inv_range` | `invalidate` | the kernel discards dirty lines |
//! | `cpu_dcache_wbinv_range` | `writeback_invalidate` | kernel only |
//! | `pmap_invalidate_cache_range` | none | x86: on CPUs that snoop themselves (CPUID.1:EDX\[27\]) it does nothing |
//! | `pmap_force_invalidate_cache_range` | `writeback_invalidate` | x86: CLFLUSHOPT or CLFLUSH with fences; a large range takes the whole cache instead (WBINVD) |
//!
//! # EDK2 (UEFI firmware)
//! | there | here | where they differ |
//! |---|---|---|
//! | `WriteBackDataCacheRange` | `writeback` | |
//! | `WriteBackInvalidateDataCacheRange` | `writeback_invalidate` | |
//! | `InvalidateDataCacheRange` | `invalidate` | it may discard dirty lines; on x86 it writes them back, as this crate does everywhere |
//!
//! # Zephyr
//! | there | here | where they differ |
//! |---|---|---|
//! | `sys_cache_data_flush_range` | `writeback` | flush is write back there, without dropping |
//! | `sys_cache_data_invd_range` | `invalidate` | it discards dirty lines, of neighbours in the end lines too |
//! | `sys_cache_data_flush_and_invd_range` | `writeback_invalidate` | |
//!
//! # Manuals
//! | there | here | where they differ |
//! |---|---|---|
//! | Arm: clean (DC CVAC, CVAP, CVADP) | `writeback` to coherency, persistence, deep persistence | the instruction is complete after a DSB, which is part of the operation here |
//! | Arm: clean and invalidate (DC CIVAC) | `invalidate`, `writeback_invalidate` | |
//! | Arm: invalidate (DC IVAC) | `discard_range` (feature `privileged`) | it discards, and promises nothing for dirty bytes |
//! | Intel, AMD: CLWB, CLFLUSHOPT, CLFLUSH | `writeback`, `writeback_invalidate` | the manuals say flush for the latter two, which write back first |
//! | Intel, AMD: WBINVD, WBNOINVD | `whole_cache` (feature `privileged`) | the whole cache of one CPU |
//! | Intel, AMD: INVD | none | it discards the stores of all programs |
//! | RISC-V: `cbo.clean` | `writeback` | |
//! | RISC-V: `cbo.flush` | `writeback_invalidate` | flush is both there |
//! | RISC-V: `cbo.inval` | `discard_range` (feature `privileged`) | it may discard; `envcfg.CBIE` can make it a flush |
//! | PowerPC: `dcbst`, `dcbstps` | `writeback` to coherency, persistence | store is write back there |
//! | PowerPC: `dcbf`, `dcbfps` | `writeback_invalidate` | flush is both there |
//!
//! # libpmem and libpmem2
//! | there | here | where they differ |
//! |---|---|---|
//! | `pmem_flush`, `pmem2_get_flush_fn` | one range of a [`batch`](crate::Cache::batch) | flush is an unfenced write-back; without DC CVAP it goes to coherency, where this crate refuses |
//! | `pmem_drain`, `pmem2_get_drain_fn` | the end of a `batch` | drain is the fence; here it cannot be forgotten. After CLFLUSH and on arm64 theirs is weaker than the manuals ask for |
//! | `pmem_persist`, `pmem2_get_persist_fn` | `writeback` to persistence; `persist` of a DAX file | with eADR it is a fence alone there, and for a DAX file here |
//! | `pmem_memcpy_persist`, `pmem_memmove_persist`, `pmem_memset_persist`, `pmem2_get_memcpy_fn` and its like | `copy_writeback`, `copy_within_writeback`, `fill_writeback`; `persist_copy` and its like of a DAX file | theirs stream from 256 bytes on and do not write back, on any CPU; hints are of the destination here ([`Destination`](crate::cache::Destination)), and never change the durable bytes |
//! | `pmem_memcpy_nodrain` and its like; `PMEM_F_MEM_NODRAIN`, `PMEM_F_MEM_NOFLUSH` | [`unfenced`](crate::Cache::unfenced), [`stores`](crate::Cache::stores) | as the row before; without a flush they use ordinary stores in both |
//! | `pmem_is_pmem` | `granularity` of a file's guarantee | there 1 wherever the kernel granted `MAP_SYNC`; here the CPU and the medium have a say |
//! | `pmem_has_auto_flush` | [`HostReport::caches_survive_power_loss`](../report/struct.HostReport.html#method.caches_survive_power_loss) | a file's guarantee asks its own region alone |
//! | `pmem_msync` | `persist` of a file whose granularity is a page | errors are returned in both |
//! | `pmem_deep_persist`, `pmem2_deep_flush` | `deep_persist` of a DAX file | libpmem reports success where the region's attribute cannot be opened, and libpmem2 by pages where nothing was written back |
//! | `pmem2_source_device_usc`, `pmem2_source_device_id` | `unsafe_shutdowns` and `devices` of a file's guarantee | of each device here, with the reason where one does not show its count; no libndctl |
//! | `pmem2_source_alignment` | `alignment` of a file's guarantee | that of huge pages on hugetlbfs here |
//!
//! # Windows
//! | there | here | where they differ |
//! |---|---|---|
//! | `RtlFlushNonVolatileMemory` | `writeback` | flush is write back there, with the fence unless its flags have `FLUSH_NV_MEMORY_IN_FLAG_NO_DRAIN` |
//! | `RtlDrainNonVolatileFlush` | the end of a `batch` | drain is the fence |
//! | `FlushViewOfFile` with `FlushFileBuffers` | `persist` of a file whose granularity is a page | two calls there |
//!
//! Sources: Linux `Documentation/core-api/cachetlb.rst`, `arch/x86/lib/usercopy_64.c`,
//! `arch/arm64/mm/flush.c`, `arch/riscv/mm/pmem.c`, `arch/x86/mm/pat/set_memory.c`; FreeBSD
//! `sys/arm64/include/cpufunc.h`, `sys/amd64/amd64/pmap.c`; EDK2
//! `MdePkg/Include/Library/CacheMaintenanceLib.h`; Zephyr `include/zephyr/cache.h`; RISC-V CMO
//! specification; Power ISA 3.1; PMDK `src/libpmem2`; Microsoft's documentation of `ntifs.h` and
//! `winnt.h`.
