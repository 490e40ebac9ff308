/*
 * cachemaint: files that survive a crash, and cache maintenance, for C programs on Linux.
 *
 *     cachemaint_file *file;
 *     if (cachemaint_open("counter", 4096, CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES, &file) != CACHEMAINT_OK) {
 *         fprintf(stderr, "%s\n", cachemaint_error_message());
 *         return 1;
 *     }
 *     uint64_t *counter = cachemaint_address(file);
 *     *counter += 1;                                                  // an ordinary store
 *     int error = cachemaint_persist(file, counter, sizeof *counter); // now it survives a crash
 *     cachemaint_close(file);
 *
 * Rules of every function
 *   - Functions that can fail return CACHEMAINT_OK, which is 0, or another number of enum cachemaint_error. The reason,
 *     with the action to take, is cachemaint_error_message().
 *   - A function that returns CACHEMAINT_INVALID_ARGUMENT, CACHEMAINT_OUT_OF_RANGE or CACHEMAINT_CLOSED has done
 *     nothing.
 *   - A null pointer, a range that is not in the file, and a length that is too large are errors. An address that is
 *     not mapped is not noticed: its use ends the process.
 *   - A length or a count of 0 is permitted. An array without elements can be a null pointer.
 *   - The process is aborted if an allocation fails. An error allocates its message, also where a comment states
 *     "no allocation".
 *   - The work is complete when a function returns. The exceptions are cachemaint_issue_writeback, _copy and _fill.
 *   - All functions can be called by several threads at a time, with the same file too, unless a comment states
 *     otherwise. None may be called in a signal handler.
 *   - No function is a cancellation point (pthread_cancel): the thread acts on a request after the call. A thread with
 *     asynchronous cancellation must call none, since POSIX permits it pthread_cancel, pthread_setcancelstate and
 *     pthread_setcanceltype alone.
 */
#ifndef CACHEMAINT_H
#define CACHEMAINT_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header. Until 1.0 another minor version can be incompatible, and has another soname. */
#define CACHEMAINT_VERSION_MAJOR 0
#define CACHEMAINT_VERSION_MINOR 1
#define CACHEMAINT_VERSION (CACHEMAINT_VERSION_MAJOR << 16 | CACHEMAINT_VERSION_MINOR)

/* Marks a result that must not be ignored: a persist that failed is lost data. */
#if defined(__GNUC__)
#define CACHEMAINT_CHECKED __attribute__((warn_unused_result))
#else
#define CACHEMAINT_CHECKED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the version of the library that runs, as CACHEMAINT_VERSION is that of the header. */
int cachemaint_version(void);

/* ---- Errors ---------------------------------------------------------------------------------------------------- */

/* The results of functions. The numbers never change, and later versions can add more. */
enum cachemaint_error {
    CACHEMAINT_OK = 0,
    /* A null pointer, an unknown flag or number, or flags that exclude each other. */
    CACHEMAINT_INVALID_ARGUMENT = 1,
    /* The range is not in the mapping of the file, or passes the end of the address space. */
    CACHEMAINT_OUT_OF_RANGE = 2,
    /* The file was closed. */
    CACHEMAINT_CLOSED = 3,
    /* This CPU, kernel or file system has no such operation. */
    CACHEMAINT_UNSUPPORTED = 4,
    /* The file or its directory does not exist. */
    CACHEMAINT_NOT_FOUND = 5,
    /* The file exists, and CACHEMAINT_NEW was given. */
    CACHEMAINT_EXISTS = 6,
    /* A directory, a symbolic link, or something else that is not a file. */
    CACHEMAINT_NOT_A_FILE = 7,
    /* This user may not do it. */
    CACHEMAINT_PERMISSION = 8,
    /* Another open file of the same path holds the lock, in this process or in another. */
    CACHEMAINT_LOCKED = 9,
    /* The file has fewer bytes than asked for, or none, or was cut while it was open. */
    CACHEMAINT_TOO_SHORT = 10,
    /* The file system has no space for it. */
    CACHEMAINT_NO_SPACE = 11,
    /* The file is persisted in larger units than the flags allow. */
    CACHEMAINT_TOO_COARSE = 12,
    /* The file has a hole, or blocks that were never written. */
    CACHEMAINT_NOT_ALLOCATED = 13,
    /* A write-back by the kernel failed. Bytes that were stored may be lost, even if a second call succeeds. */
    CACHEMAINT_WRITEBACK_FAILED = 14,
    /* The bytes are persistent, and the medium's own buffers were not flushed. */
    CACHEMAINT_NOT_FLUSHED = 15,
    /* The medium has lost bytes. */
    CACHEMAINT_MEDIA_ERROR = 16,
    /* The kernel does not show the fact. */
    CACHEMAINT_UNKNOWN = 17,
    /* Another system call failed: cachemaint_error_errno() has its number. */
    CACHEMAINT_SYSTEM = 18
};

/* Returns the reason of this thread's last error, with the action to take: a line of UTF-8 without its end.
 * It is empty before the first failure, and valid until the next call on this thread that fails, or until the thread ends.
 * A handler of atexit can read it. A destructor of pthread_key_create may find it empty, unless its own call has failed. */
const char *cachemaint_error_message(void);

/* Returns the errno of the system call that caused this thread's last error. It is 0 if none did, and where the number
 * of the error says as much, as CACHEMAINT_NOT_FOUND does. A length beyond a limit is CACHEMAINT_NO_SPACE with EFBIG, and
 * too many open files are CACHEMAINT_SYSTEM with EMFILE. After CACHEMAINT_NOT_FLUSHED it is that of the write to the
 * kernel's attribute. It is 0 if nothing was written: the attribute is missing, could not be read, or has another value
 * than 0 and 1. */
int cachemaint_error_errno(void);

/* ---- Files ----------------------------------------------------------------------------------------------------- */

/* A file that is open, locked and mapped. Its bytes are ordinary memory for loads and stores.
 * A store is persistent when a later function below has returned CACHEMAINT_OK for its range. Before that, a crash can
 * keep any part of it; an aligned store of 8 bytes is kept whole or not at all.
 * Bytes that an earlier process has stored can still be in the caches: persist them before you rely on them.
 * A page with a media error, and a file that another program shrinks, raise SIGBUS at an access.
 * A child of fork does not have the mapping and must not use the file. It may call cachemaint_close alone, and should:
 * until then, or until it executes a program or ends, it keeps the lock of a parent that was killed. */
typedef struct cachemaint_file cachemaint_file;

/* Some bytes in memory. */
struct cachemaint_range {
    const void *address;
    size_t length;
};

/* The flags of cachemaint_open. Without any, a file that exists is opened, under an exclusive lock, and refused unless
 * it is persisted by cache lines or finer. */
enum cachemaint_flag {
    /* Creates the file if it does not exist. */
    CACHEMAINT_CREATE = 1,
    /* Creates the file, which must not exist. */
    CACHEMAINT_NEW = 2,
    /* Takes a file that is persisted by pages (msync) too, as every file that is not on persistent memory is. */
    CACHEMAINT_ALLOW_PAGES = 4,
    /* Takes a lock that excludes exclusive ones alone: for processes that write together. */
    CACHEMAINT_SHARED_LOCK = 8,
    /* Takes no lock: for processes that agree by other means, also on which of them makes the file longer
     * (cachemaint_grow). */
    CACHEMAINT_NO_LOCK = 16,
    /* Makes every page accessible now, so that no access waits for a page fault (Linux 5.14 and later). A page that cannot
     * be accessed is CACHEMAINT_MEDIA_ERROR if the kernel reports a media error, or else CACHEMAINT_SYSTEM. There EFAULT
     * is a hole on a full file system, the end of a file that has shrunk, or on older kernels a media error. */
    CACHEMAINT_POPULATE = 32
};

/* Opens or creates a file and maps all of it, for reading and writing.
 * `length`: the bytes of a new file, and the least that an existing one must have. It can be 0 only without
 * CACHEMAINT_CREATE and CACHEMAINT_NEW.
 * An existing file keeps its length and its bytes. It is synced (fsync): they are on the medium at the return, whichever
 * program made them. CACHEMAINT_WRITEBACK_FAILED means that bytes which were stored before may be lost. The kernel reports
 * a failed write-back once: if another program or an earlier opening got the report, this one succeeds without these bytes.
 * The directory of the file is synced too, so that the name is on the medium. If this user may not read the directory, or
 * its file system does not sync directories, the name is as durable as the fsync of the file makes it.
 * `path` can be a device of device DAX.
 * After the return `*file` is the open file. The zeros and the name of a new file are on the medium. It has mode 0600.
 * A crash leaves no file at the path, or the whole one. On file systems without unnamed files (O_TMPFILE) it can leave a
 * file .cachemaint-PROCESS-NUMBER in the directory, and on those without hard links (exFAT, for example) an empty file at
 * the path: remove them. On an error `*file` is NULL.
 * Errors: CACHEMAINT_NOT_FOUND, _EXISTS, _NOT_A_FILE, _PERMISSION, _LOCKED, _TOO_SHORT, _NO_SPACE, _TOO_COARSE,
 * _NOT_ALLOCATED, _UNSUPPORTED, _WRITEBACK_FAILED, _MEDIA_ERROR, _UNKNOWN, _SYSTEM. CACHEMAINT_INVALID_ARGUMENT also for a
 * length that no file can have, and for a file that is larger than the address space (32 bits).
 * Cost: some milliseconds; a new file is written once. The bytes of an existing file that are not on the medium yet are
 * written by its fsync, however many they are. */
CACHEMAINT_CHECKED int cachemaint_open(const char *path, uint64_t length, unsigned flags, cachemaint_file **file);

/* Unmaps and unlocks the file, and persists nothing. NULL is permitted.
 * No thread uses the file or its addresses during the call and after it. A closed file is refused with
 * CACHEMAINT_CLOSED until a thousand later ones were closed too; do not rely on it. */
int cachemaint_close(cachemaint_file *file);

/* Returns the first byte of the mapping, which is at a multiple of the page size, or NULL if the file is NULL or closed.
 * The address differs from one opening to the next: store offsets in the file, not pointers. */
void *cachemaint_address(const cachemaint_file *file);

/* Returns the bytes of the mapping, or 0 if the file is NULL or closed. */
size_t cachemaint_length(const cachemaint_file *file);

/* Makes the mapping longer, and the file if need be: `length` is the new length. Bytes that the file has there already
 * are shown as they are, and are synced (fsync). Missing bytes are zeros. All of them are on the medium with the length
 * after the return.
 * No other thread uses the file during the call. The mapping can move: ask for its address again.
 * Processes with CACHEMAINT_NO_LOCK must not make the file longer at the same time, nor open it meanwhile. The call of one
 * can overwrite with zeros, or cut off (SIGBUS), the new bytes that another has stored and persisted. One process makes
 * the file longer, and the others then map the new bytes by this call.
 * A crash leaves the old length or the new one. On an error the file is as it was. After CACHEMAINT_WRITEBACK_FAILED
 * stored bytes may be lost, and later write-backs by pages return it too. A network file system may find only at the sync
 * that it is full: the error is CACHEMAINT_NO_SPACE then.
 * Errors: CACHEMAINT_INVALID_ARGUMENT for fewer bytes than are mapped, and under a shared lock if the file would have to
 * be made longer. CACHEMAINT_TOO_SHORT if another program made the file shorter; CACHEMAINT_NO_SPACE, _NOT_ALLOCATED,
 * _UNSUPPORTED, _WRITEBACK_FAILED, _SYSTEM; with CACHEMAINT_POPULATE _MEDIA_ERROR too. CACHEMAINT_INVALID_ARGUMENT also for
 * a length that no file can have, or that is larger than the address space (32 bits).
 * Cost: the missing bytes are written once, and the file is synced: its bytes that are not on the medium yet are written
 * too. */
CACHEMAINT_CHECKED int cachemaint_grow(cachemaint_file *file, uint64_t length);

/* Makes the bytes persistent that this thread has stored in the range: write-back and fence.
 * After the return they survive the events that cachemaint_get_survival states for CACHEMAINT_PERSISTED.
 * Errors, by pages alone: CACHEMAINT_WRITEBACK_FAILED; CACHEMAINT_TOO_SHORT if the file was cut, in the range
 * or not. After the first of these each call returns it: see cachemaint_check.
 * Cost: one instruction for each line, and a fence, without a lock or allocation. By pages one msync and one fstat for all
 * calls of threads that wait at the time. */
CACHEMAINT_CHECKED int cachemaint_persist(const cachemaint_file *file, const void *address, size_t length);

/* Makes several ranges persistent under one fence. They become persistent in any order.
 * Errors: those of cachemaint_persist. All ranges are tried, and the first error is returned.
 * Cost: as cachemaint_persist, with one fence; by pages one msync for each range. */
CACHEMAINT_CHECKED int cachemaint_persist_ranges(const cachemaint_file *file, const struct cachemaint_range *ranges,
                                                 size_t count);

/* Begins to write a range back. The bytes are persistent when cachemaint_fence has succeeded on this thread for this file.
 * Errors and cost: those of cachemaint_persist, without the fence. */
CACHEMAINT_CHECKED int cachemaint_issue_writeback(const cachemaint_file *file, const void *address, size_t length);

/* Completes every cachemaint_issue_writeback, _copy and _fill of this thread for this file, and does not complete those
 * of another thread or file.
 * Errors: those of cachemaint_check.
 * Cost: one fence; by pages nothing. */
CACHEMAINT_CHECKED int cachemaint_fence(const cachemaint_file *file);

/* Orders the stores of other threads that this thread has seen before its next write-backs of this file. Call it
 * between the load that showed another thread's store and the persist that must include this store.
 * Cost: one fence; by pages nothing. */
CACHEMAINT_CHECKED int cachemaint_order_observed(const cachemaint_file *file);

/* Makes a range persistent down to the medium's own buffers, so that it does not rest on stored energy (ADR) any more.
 * Errors: CACHEMAINT_WRITEBACK_FAILED and _TOO_SHORT, by lines too. CACHEMAINT_NOT_FLUSHED if the range is persistent and
 * the buffers could not be flushed; on device DAX this needs root.
 * Cost: as cachemaint_persist, and at least one system call. */
CACHEMAINT_CHECKED int cachemaint_deep_persist(const cachemaint_file *file, const void *address, size_t length);

/* The caller's knowledge of a destination, for speed alone. */
enum cachemaint_destination {
    /* No knowledge. */
    CACHEMAINT_ANYWHERE = 0,
    /* In this CPU's caches, and not stored to since the last write-back. */
    CACHEMAINT_CACHED = 1,
    /* In no cache, and not needed soon. */
    CACHEMAINT_COLD = 2
};

/* Copies bytes into the file and makes them persistent, with the fastest stores that guarantee it. The ranges may
 * overlap. `to` is in the mapping of the file; `from` is anywhere. No other thread uses `to`, or stores to `from`,
 * during the call. A crash during the call tears no aligned word of 8 bytes that lies whole in the range. A word that
 * lies partly in it can be torn: publish by an aligned store of 8 bytes, and not by a copy of fewer.
 * Errors: those of cachemaint_persist.
 * Cost: the stores, at most one write-back for each line, and one or two fences; by pages one msync. */
CACHEMAINT_CHECKED int cachemaint_persist_copy(cachemaint_file *file, void *to, const void *from, size_t length,
                                               enum cachemaint_destination destination);

/* Sets bytes of the file and makes them persistent. Everything else is as for cachemaint_persist_copy. */
CACHEMAINT_CHECKED int cachemaint_persist_fill(cachemaint_file *file, void *to, unsigned char byte, size_t length,
                                               enum cachemaint_destination destination);

/* Copies bytes into the file and begins to write them back. They are persistent when cachemaint_fence has returned on this
 * thread for this file, and one such call completes several copies. The ranges may overlap. Until the fence has returned,
 * no other thread uses `to`, since a later store of this thread can be seen before the bytes. No other thread stores to
 * `from` during the call. A crash before the fence has returned tears words as in cachemaint_persist_copy.
 * Errors: those of cachemaint_persist.
 * Cost: the stores, at most one write-back for each line, and at most one fence; by pages one msync, which completes the
 * copy. */
CACHEMAINT_CHECKED int cachemaint_issue_copy(cachemaint_file *file, void *to, const void *from, size_t length,
                                             enum cachemaint_destination destination);

/* Sets bytes of the file and begins to write them back. Everything else is as for cachemaint_issue_copy. */
CACHEMAINT_CHECKED int cachemaint_issue_fill(cachemaint_file *file, void *to, unsigned char byte, size_t length,
                                             enum cachemaint_destination destination);

/* Returns the failure of this open file, if it has failed; else CACHEMAINT_OK. After the first failed write-back by pages,
 * or once a call has found the file cut, every later call that persists returns the same: bytes that were stored before may
 * be lost. Close the file, open it again, and read it or restore it from elsewhere. */
CACHEMAINT_CHECKED int cachemaint_check(const cachemaint_file *file);

/* Finds the bytes of the mapping that the kernel knows to be bad. An access to a page that has some raises SIGBUS.
 * `ranges` gets the first `capacity` of them, in ascending order, and can be NULL if `capacity` is 0. `*count` is the
 * number of all. `*is_complete` is 0 if the kernel's list was full, so that more can be bad; it can be NULL.
 * Errors: CACHEMAINT_UNKNOWN, _PERMISSION, _UNSUPPORTED, _SYSTEM.
 * Cost: some files of /proc and /sys, and one system call for 64 extents (FIEMAP), which syncs the file: its bytes that
 * are not on the medium yet are written. */
CACHEMAINT_CHECKED int cachemaint_bad_blocks(const cachemaint_file *file, struct cachemaint_range *ranges,
                                             size_t capacity, size_t *count, int *is_complete);

/* ---- Guarantees ------------------------------------------------------------------------------------------------ */

/* Functions that fill a structure take its `sizeof`, and fill no more than that. Later versions add fields at the end.
 * Fields that the library does not know are 0. */

/* The granularity: the smallest unit that is made persistent. */
enum cachemaint_granularity {
    /* Single bytes: a fence suffices. */
    CACHEMAINT_BYTE = 0,
    /* Cache lines. */
    CACHEMAINT_LINE = 1,
    /* Pages, by msync. */
    CACHEMAINT_PAGE = 2
};

/* The memory or storage that holds a file. The numbers never change. */
enum cachemaint_backing {
    CACHEMAINT_BACKING_UNKNOWN = 0,
    /* A drive, behind the page cache. */
    CACHEMAINT_BACKING_STORAGE = 1,
    /* tmpfs and hugetlbfs. */
    CACHEMAINT_BACKING_RAM = 2,
    /* RAM that was set aside as persistent memory. */
    CACHEMAINT_BACKING_EMULATED_PMEM = 3,
    /* Persistent memory: power loss keeps what the memory controller has accepted. */
    CACHEMAINT_BACKING_PMEM_ADR = 4,
    /* Persistent memory: power loss keeps the CPU caches too. */
    CACHEMAINT_BACKING_PMEM_EADR = 5,
    /* CXL memory that shows Global Persistent Flush. */
    CACHEMAINT_BACKING_CXL_GPF = 6,
    /* CXL memory that does not show it. */
    CACHEMAINT_BACKING_CXL = 7,
    /* Persistent memory without a claim. */
    CACHEMAINT_BACKING_PMEM_UNKNOWN = 8,
    /* virtio-pmem: memory of the host. */
    CACHEMAINT_BACKING_VIRTIO_PMEM = 9,
    /* A file system whose way to storage is not seen: overlayfs, ZFS, NFS, FUSE, each on another system than Linux. */
    CACHEMAINT_BACKING_FILE_SYSTEM = 10
};

/* The guarantee of an open file. The texts are valid until the file is closed. */
struct cachemaint_guarantee {
    /* A number of enum cachemaint_granularity. */
    int granularity;
    /* A number of enum cachemaint_backing. */
    int backing;
    /* The bytes of the smallest unit: 1, a line or a page. Bytes of one unit are written together. */
    size_t unit;
    /* The reason for the granularity. */
    const char *reason;
    /* The way to a finer granularity; NULL if no way is known. */
    const char *advice;
    /* The name of the backing. */
    const char *backing_name;
    /* The file system, its mount point and its device, as the kernel names them; "" if unknown. */
    const char *file_system;
    const char *mount_point;
    const char *device;
};

/* Fills in the guarantee of an open file. `size` is sizeof *guarantee. */
CACHEMAINT_CHECKED int cachemaint_get_guarantee(const cachemaint_file *file, struct cachemaint_guarantee *guarantee,
                                                size_t size);

/* The stage that bytes have reached when an event happens. */
enum cachemaint_stage {
    /* Stored, and no more. */
    CACHEMAINT_STORED = 0,
    /* cachemaint_persist has returned. */
    CACHEMAINT_PERSISTED = 1,
    /* cachemaint_deep_persist has returned. */
    CACHEMAINT_DEEP_PERSISTED = 2
};

/* An event that can lose bytes. */
enum cachemaint_event {
    /* The process is killed or crashes. */
    CACHEMAINT_PROCESS_CRASH = 0,
    /* The kernel starts another one, without firmware. */
    CACHEMAINT_KEXEC = 1,
    /* A reboot through firmware, without loss of power. */
    CACHEMAINT_WARM_REBOOT = 2,
    /* Power is lost. */
    CACHEMAINT_POWER_LOSS = 3
};

/* The answer to a question about an event. */
enum cachemaint_answer {
    /* The bytes are lost. */
    CACHEMAINT_LOST = 0,
    /* The bytes may be kept; no source promises it. */
    CACHEMAINT_NOT_PROMISED = 1,
    /* The bytes are kept under the condition that `text` states. */
    CACHEMAINT_CONDITIONAL = 2,
    /* The bytes are kept, as the platform claims. */
    CACHEMAINT_KEPT = 3
};

/* The survival of bytes, with its source. The texts are valid until the file is closed. */
struct cachemaint_survival {
    /* A number of enum cachemaint_answer. */
    int answer;
    /* 0. */
    int reserved;
    /* The answer in words, with its condition. */
    const char *text;
    /* The source of the claim. */
    const char *source;
    /* "documented", "read in source code", "measured" or "assumed". */
    const char *certainty;
};

/* Fills in the survival of an event by bytes of the file that have reached a stage. `size` is sizeof *survival. */
CACHEMAINT_CHECKED int cachemaint_get_survival(const cachemaint_file *file, enum cachemaint_stage stage,
                                               enum cachemaint_event event, struct cachemaint_survival *survival,
                                               size_t size);

/* ---- Caches ---------------------------------------------------------------------------------------------------- */

/* For memory that is shared with a device or another observer that does not see the CPU caches. The functions work up to
 * the point of coherency, where all observers see the same bytes. They need no open file, and promise nothing about
 * power loss. Errors of all: CACHEMAINT_UNSUPPORTED if this CPU has no instruction that user mode may execute. */

/* The instructions of this machine. The texts are valid for as long as the library is loaded. */
struct cachemaint_host {
    /* The bytes that one instruction works on. */
    size_t line_size;
    /* The alignment and padding, in bytes, of data that must share nothing with other data. */
    size_t granule;
    /* The instruction that writes back to the point of coherency, with the fence before it, or NULL, and after it. */
    const char *writeback;
    const char *writeback_fence_before;
    const char *writeback_fence;
    /* The instruction that invalidates, with its fences. Dirty lines are written back too. */
    const char *invalidate;
    const char *invalidate_fence_before;
    const char *invalidate_fence;
    /* The instruction that writes back to the point of persistence; NULL if none reaches it. */
    const char *persist;
    /* The reason why none reaches it, with the action to take; NULL if one does. */
    const char *persist_refused;
};

/* Fills in the instructions of this machine. `size` is sizeof *host. */
CACHEMAINT_CHECKED int cachemaint_get_host(struct cachemaint_host *host, size_t size);

/* Writes a range back, so that observers see the bytes that this thread has stored. For the stores of other threads that
 * it has seen, it calls cachemaint_cache_order_observed before. The lines may stay cached.
 * Cost: one instruction for each line, and its fences. No lock and no allocation, from the second call on. */
CACHEMAINT_CHECKED int cachemaint_cache_writeback(const void *address, size_t length);

/* Drops a range from the caches, so that later loads see the bytes that an observer has stored before the call.
 * Dirty lines are written back, over the bytes of the observer: write them back before it starts. Bytes that share a
 * line with the range are not lost.
 * Cost: as cachemaint_cache_writeback. */
CACHEMAINT_CHECKED int cachemaint_cache_invalidate(void *address, size_t length);

/* Does both: observers see the stored bytes, and later loads fetch from memory.
 * Cost: as cachemaint_cache_writeback. */
CACHEMAINT_CHECKED int cachemaint_cache_writeback_invalidate(const void *address, size_t length);

/* Orders the stores of other threads that this thread has seen before its next operations on caches. Call it between the
 * load that showed another thread's store and the write-back that must include this store.
 * Cost: one fence. */
CACHEMAINT_CHECKED int cachemaint_cache_order_observed(void);

/* Writes several ranges back under one fence. */
CACHEMAINT_CHECKED int cachemaint_cache_writeback_ranges(const struct cachemaint_range *ranges, size_t count);

/* Copies bytes and writes them back. The ranges may overlap. No other thread uses `to`, or stores to `from`, during the
 * call.
 * Cost: the stores, at most one write-back for each line, and one or two fences. */
CACHEMAINT_CHECKED int cachemaint_cache_copy(void *to, const void *from, size_t length,
                                             enum cachemaint_destination destination);

/* Sets bytes and writes them back, as cachemaint_cache_copy does. */
CACHEMAINT_CHECKED int cachemaint_cache_fill(void *to, unsigned char byte, size_t length,
                                             enum cachemaint_destination destination);

#ifdef __cplusplus
}
#endif

#endif
