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
 * Rules for all functions
 *   - Functions that can fail return CACHEMAINT_OK, which is 0, or another number of enum cachemaint_error.
 *     cachemaint_error_message() then returns the reason and the action to take.
 *   - A function that returns CACHEMAINT_INVALID_ARGUMENT, CACHEMAINT_OUT_OF_RANGE or CACHEMAINT_CLOSED has done
 *     nothing.
 *   - A length or a count of 0 is allowed: nothing is done, and the pointer to the bytes or the array can be null, like
 *     that of an empty std::vector.
 *   - Any other null pointer, a range outside the file, and an excessive length are errors. An unmapped address is not
 *     detected: using it ends the process.
 *   - The process is aborted if an allocation fails. An error allocates its message, even where a comment says "no
 *     allocation".
 *   - The work is complete when a function returns, except for cachemaint_issue_writeback, _copy and _fill.
 *   - Several threads may call any function at the same time, even with the same file, unless a comment says otherwise.
 *     None may be called in a signal handler.
 *   - No function is a cancellation point (pthread_cancel): the thread acts on a request after the call. A thread with
 *     asynchronous cancellation must not call any function, since POSIX only permits it pthread_cancel,
 *     pthread_setcancelstate and pthread_setcanceltype.
 */
#ifndef CACHEMAINT_H
#define CACHEMAINT_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header. Until 1.0 a different minor version can be incompatible, and has a different soname. */
#define CACHEMAINT_VERSION_MAJOR 0
#define CACHEMAINT_VERSION_MINOR 1
#define CACHEMAINT_VERSION (CACHEMAINT_VERSION_MAJOR << 16 | CACHEMAINT_VERSION_MINOR)

/* Marks a result that must not be ignored: a failed persist is lost data. */
#if defined(__GNUC__)
#define CACHEMAINT_CHECKED __attribute__((warn_unused_result))
#else
#define CACHEMAINT_CHECKED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the version of the loaded library, to compare with CACHEMAINT_VERSION of the header. */
int cachemaint_version(void);

/* ---- Errors ---------------------------------------------------------------------------------------------------- */

/* The results of functions. The numbers never change; later versions can add more. */
enum cachemaint_error {
    CACHEMAINT_OK = 0,
    /* A null pointer, an unknown flag or number, or mutually exclusive flags. */
    CACHEMAINT_INVALID_ARGUMENT = 1,
    /* The range is outside the mapping of the file, or exceeds the address space. */
    CACHEMAINT_OUT_OF_RANGE = 2,
    /* The file was closed. */
    CACHEMAINT_CLOSED = 3,
    /* This CPU, kernel or file system does not support the operation. */
    CACHEMAINT_UNSUPPORTED = 4,
    /* The file or its directory does not exist. */
    CACHEMAINT_NOT_FOUND = 5,
    /* The file exists although CACHEMAINT_NEW was given. */
    CACHEMAINT_EXISTS = 6,
    /* The path is a directory, a symbolic link, or something else that is not a file. */
    CACHEMAINT_NOT_A_FILE = 7,
    /* This user is not permitted to do it. */
    CACHEMAINT_PERMISSION = 8,
    /* The file is open elsewhere and locked, in this process or in another. */
    CACHEMAINT_LOCKED = 9,
    /* The file is empty, shorter than requested, or was truncated while it was open. */
    CACHEMAINT_TOO_SHORT = 10,
    /* The file system is full. */
    CACHEMAINT_NO_SPACE = 11,
    /* The file can only be persisted in larger units than the flags allow. */
    CACHEMAINT_TOO_COARSE = 12,
    /* The file has a hole, or blocks that were never written. */
    CACHEMAINT_NOT_ALLOCATED = 13,
    /* A write-back by the kernel failed. Stored bytes may be lost, even if a second call succeeds. */
    CACHEMAINT_WRITEBACK_FAILED = 14,
    /* The bytes are persistent, but the medium's own buffers were not flushed. */
    CACHEMAINT_NOT_FLUSHED = 15,
    /* The medium has lost bytes. */
    CACHEMAINT_MEDIA_ERROR = 16,
    /* The kernel does not report the fact. */
    CACHEMAINT_UNKNOWN = 17,
    /* Another system call failed: see cachemaint_error_errno(). */
    CACHEMAINT_SYSTEM = 18
};

/* Returns the reason for this thread's last error and the action to take: one line of UTF-8 without a newline.
 * It is empty before the first failure, and valid until the next failing call on this thread or the thread's end.
 * An atexit handler can read it. A pthread_key_create destructor may find it empty, unless its own call has failed. */
const char *cachemaint_error_message(void);

/* Returns the errno of the system call that caused this thread's last error, or 0 if none did. After
 * CACHEMAINT_NOT_FOUND it is ENOENT. A length beyond a limit is CACHEMAINT_NO_SPACE with EFBIG, and
 * too many open files are CACHEMAINT_SYSTEM with EMFILE. After CACHEMAINT_NOT_FLUSHED it is the errno of writing the
 * kernel's attribute, or 0 if nothing was written because the attribute is missing, unreadable, or neither 0 nor 1. */
int cachemaint_error_errno(void);

/* ---- Files ----------------------------------------------------------------------------------------------------- */

/* An open, locked and mapped file. Its bytes are ordinary memory for loads and stores.
 * A store is persistent once a function below has returned CACHEMAINT_OK for its range. Before that, a crash can keep
 * any part of it; an aligned 8-byte store is kept as a whole or not at all.
 * Bytes that an earlier process stored can still be in the caches: persist them before you rely on them.
 * Accessing a page with a media error, or a page of a file that another program has truncated, raises SIGBUS.
 * A child of fork does not have the mapping. It may only call cachemaint_close, and should: until it does, executes a
 * program or ends, it keeps the file locked even if the parent was killed. */
typedef struct cachemaint_file cachemaint_file;

/* A range of memory. */
struct cachemaint_range {
    const void *address;
    size_t length;
};

/* The flags of cachemaint_open. Without flags, it opens an existing file under an exclusive lock, and refuses a file
 * that cannot be persisted in units of a cache line or smaller. */
enum cachemaint_flag {
    /* Creates the file if it does not exist. */
    CACHEMAINT_CREATE = 1,
    /* Creates the file; fails if it exists. */
    CACHEMAINT_NEW = 2,
    /* Also accepts a file that is persisted in whole pages (msync), like every file not on persistent memory. */
    CACHEMAINT_ALLOW_PAGES = 4,
    /* Takes a shared lock, which excludes only exclusive locks: for processes that write together. */
    CACHEMAINT_SHARED_LOCK = 8,
    /* Takes no lock: for processes that coordinate by other means, also on which of them grows the file
     * (cachemaint_grow). */
    CACHEMAINT_NO_LOCK = 16,
    /* Makes every page accessible now, so that no access waits for a page fault (Linux 5.14 and later). An inaccessible
     * page is CACHEMAINT_MEDIA_ERROR if the kernel reports a media error, otherwise CACHEMAINT_SYSTEM. Its errno EFAULT
     * means a hole on a full file system, a truncated file, or on older kernels a media error. */
    CACHEMAINT_POPULATE = 32
};

/* Opens or creates a file and maps all of it for reading and writing.
 * `length`: the size of a new file, and the minimum size of an existing one, in bytes. It can be 0 only without
 * CACHEMAINT_CREATE and CACHEMAINT_NEW.
 * An existing file keeps its length and its bytes. It is synced (fsync): on return its bytes are on the medium,
 * whichever program stored them. CACHEMAINT_WRITEBACK_FAILED means that earlier stores may be lost. The kernel reports
 * a failed write-back only once: if another program or an earlier opening got the report, this call succeeds without
 * those bytes.
 * The directory is synced too, so that the name is on the medium. If this user may not read the directory, or its file
 * system does not sync directories, the name is only as durable as fsync of the file makes it.
 * `path` can be a device-DAX device.
 * On return `*file` is the open file, or NULL after an error. The zeros and the name of a new file are on the medium. A
 * new file has mode 0600.
 * A crash leaves no file at the path, or a complete one. On file systems without unnamed files (O_TMPFILE) it can leave
 * a file .cachemaint-PROCESS-NUMBER in the directory; on those without hard links (such as exFAT), an empty file at the
 * path. Remove them.
 * Errors: CACHEMAINT_NOT_FOUND, _EXISTS, _NOT_A_FILE, _PERMISSION, _LOCKED, _TOO_SHORT, _NO_SPACE, _TOO_COARSE,
 * _NOT_ALLOCATED, _UNSUPPORTED, _WRITEBACK_FAILED, _MEDIA_ERROR, _UNKNOWN, _SYSTEM. CACHEMAINT_INVALID_ARGUMENT also
 * for an impossible length or name, and for a file that is larger than the address space (32 bits).
 * Cost: some milliseconds. A new file is written once. For an existing file, fsync writes all bytes that are not yet on
 * the medium, however many they are. */
CACHEMAINT_CHECKED int cachemaint_open(const char *path, uint64_t length, unsigned flags, cachemaint_file **file);

/* Unmaps and unlocks the file. It persists nothing. NULL is allowed.
 * No thread may use the file or its addresses during or after the call. Functions refuse a closed file with
 * CACHEMAINT_CLOSED until a thousand more have been closed; do not rely on it. */
int cachemaint_close(cachemaint_file *file);

/* Returns the page-aligned address of the mapping, or NULL if the file is NULL or closed.
 * The address differs from one opening to the next: store offsets in the file, not pointers. */
void *cachemaint_address(const cachemaint_file *file);

/* Returns the length of the mapping in bytes, or 0 if the file is NULL or closed. */
size_t cachemaint_length(const cachemaint_file *file);

/* Grows the mapping to `length` bytes, and the file if it is shorter. Bytes that the file already has there are kept
 * and synced (fsync). Missing bytes become zeros. On return all of them, and the length, are on the medium.
 * No other thread may use the file during the call. The mapping can move: get its address again.
 * Processes with CACHEMAINT_NO_LOCK must not grow or open the file at the same time: a call in one process can zero or
 * cut off (SIGBUS) new bytes that another has stored and persisted. Let one process grow the file; the others then map
 * the new bytes with this function.
 * A crash leaves the old length or the new one. On an error the file is unchanged. After CACHEMAINT_WRITEBACK_FAILED
 * stored bytes may be lost, and later calls return it too, until the file is opened again.
 * Errors: CACHEMAINT_INVALID_ARGUMENT for fewer bytes than are mapped, for an impossible length or one larger than the
 * address space (32 bits), and under a shared lock if the file itself would have to grow. CACHEMAINT_TOO_SHORT if
 * another program truncated the file; CACHEMAINT_NO_SPACE, _NOT_ALLOCATED, _UNSUPPORTED, _WRITEBACK_FAILED, _SYSTEM;
 * with CACHEMAINT_POPULATE also _MEDIA_ERROR.
 * Cost: the missing bytes are written once. The file is synced, which writes all bytes not yet on the medium. */
CACHEMAINT_CHECKED int cachemaint_grow(cachemaint_file *file, uint64_t length);

/* Makes the bytes that this thread has stored in the range persistent: write-back and fence.
 * On return they survive the events that cachemaint_get_survival reports for CACHEMAINT_PERSISTED.
 * Errors, with page granularity only: CACHEMAINT_WRITEBACK_FAILED; CACHEMAINT_TOO_SHORT if the file was truncated,
 * within the range or not. After the first such error every call returns it: see cachemaint_check.
 * Cost: one instruction per line and a fence, without a lock or allocation. With page granularity, one msync and one
 * fstat, shared by all threads that are waiting at the time. */
CACHEMAINT_CHECKED int cachemaint_persist(const cachemaint_file *file, const void *address, size_t length);

/* Makes several ranges persistent under one fence. They may become persistent in any order.
 * Errors: those of cachemaint_persist. All ranges are tried, and the first error is returned.
 * Cost: that of cachemaint_persist, with one fence; with page granularity, one msync per range. */
CACHEMAINT_CHECKED int cachemaint_persist_ranges(const cachemaint_file *file, const struct cachemaint_range *ranges,
                                                 size_t count);

/* Starts writing a range back. The bytes are persistent when cachemaint_fence has succeeded on this thread for
 * this file.
 * Errors and cost: those of cachemaint_persist, without the fence. */
CACHEMAINT_CHECKED int cachemaint_issue_writeback(const cachemaint_file *file, const void *address, size_t length);

/* Completes every cachemaint_issue_writeback, _copy and _fill of this thread for this file, but not those of other
 * threads or files.
 * Errors: those of cachemaint_check.
 * Cost: one fence; with page granularity nothing. */
CACHEMAINT_CHECKED int cachemaint_fence(const cachemaint_file *file);

/* Orders stores of other threads that this thread has observed before its next write-backs of this file. Call it
 * between the load that observed another thread's store and the persist that must include that store.
 * Cost: one fence; with page granularity nothing. */
CACHEMAINT_CHECKED int cachemaint_order_observed(const cachemaint_file *file);

/* Makes a range persistent and flushes the medium's own buffers, so that it no longer depends on stored energy (ADR).
 * Errors: CACHEMAINT_WRITEBACK_FAILED and _TOO_SHORT, with any granularity. CACHEMAINT_NOT_FLUSHED if the range is
 * persistent but the buffers could not be flushed; on device DAX flushing needs root.
 * Cost: that of cachemaint_persist, plus at least one system call. */
CACHEMAINT_CHECKED int cachemaint_deep_persist(const cachemaint_file *file, const void *address, size_t length);

/* What the caller knows about a destination. It only affects speed. */
enum cachemaint_destination {
    /* Nothing is known. */
    CACHEMAINT_ANYWHERE = 0,
    /* It is in this CPU's caches and has not been stored to since the last write-back. */
    CACHEMAINT_CACHED = 1,
    /* It is in no cache, and is not needed soon. */
    CACHEMAINT_COLD = 2
};

/* Copies bytes into the file and makes them persistent, with the fastest stores that guarantee it. The ranges may
 * overlap. `to` must be in the mapping of the file; `from` can be anywhere. No other thread may use `to`, or store to
 * `from`, during the call. A crash during the call tears no aligned 8-byte word that lies completely in the range, but
 * can tear one that lies partly in it: publish with an aligned 8-byte store, not with a shorter copy.
 * Errors: those of cachemaint_persist.
 * Cost: the stores, at most one write-back per line, and one or two fences; with page granularity, one msync. */
CACHEMAINT_CHECKED int cachemaint_persist_copy(cachemaint_file *file, void *to, const void *from, size_t length,
                                               enum cachemaint_destination destination);

/* Sets bytes of the file and makes them persistent, with the rules of cachemaint_persist_copy. */
CACHEMAINT_CHECKED int cachemaint_persist_fill(cachemaint_file *file, void *to, unsigned char byte, size_t length,
                                               enum cachemaint_destination destination);

/* Copies bytes into the file and starts writing them back. They are persistent when cachemaint_fence has returned on
 * this thread for this file; one fence completes several copies. The ranges may overlap. Until the fence has returned,
 * no other thread may use `to`, since a later store of this thread can become visible before the bytes. No other thread
 * may store to `from` during the call. A crash before the fence has returned tears words as in cachemaint_persist_copy.
 * Errors: those of cachemaint_persist.
 * Cost: the stores, at most one write-back per line, and at most one fence; with page granularity, one msync, which
 * completes the copy. */
CACHEMAINT_CHECKED int cachemaint_issue_copy(cachemaint_file *file, void *to, const void *from, size_t length,
                                             enum cachemaint_destination destination);

/* Sets bytes of the file and starts writing them back, with the rules of cachemaint_issue_copy. */
CACHEMAINT_CHECKED int cachemaint_issue_fill(cachemaint_file *file, void *to, unsigned char byte, size_t length,
                                             enum cachemaint_destination destination);

/* Returns the failure of this open file if it has failed, otherwise CACHEMAINT_OK. After the first failed write-back by
 * the kernel, or once a call has found the file truncated, every later call that persists returns that same error:
 * earlier stores may be lost. Close the file and reopen it, then read its content or restore a backup. */
CACHEMAINT_CHECKED int cachemaint_check(const cachemaint_file *file);

/* Finds the bytes of the mapping that the kernel knows to be bad. Accessing a page with bad bytes raises SIGBUS.
 * `ranges` gets the first `capacity` ranges, in ascending order, and can be NULL if `capacity` is 0. `*count` gets the
 * number of all ranges. `*is_complete` is 0 if the kernel's list was full, so there may be more; it can be NULL.
 * Errors: CACHEMAINT_UNKNOWN, _PERMISSION, _UNSUPPORTED, _SYSTEM.
 * Cost: reads some files in /proc and /sys, and makes one system call per 64 extents (FIEMAP), which syncs the file: it
 * writes all bytes that are not yet on the medium. */
CACHEMAINT_CHECKED int cachemaint_bad_blocks(const cachemaint_file *file, struct cachemaint_range *ranges,
                                             size_t capacity, size_t *count, int *is_complete);

/* ---- Guarantees ------------------------------------------------------------------------------------------------ */

/* Functions that fill a structure take its `sizeof` and fill no more than that. Later versions add fields at the end.
 * Fields unknown to the library are set to 0. */

/* The granularity: the smallest unit that can be made persistent. */
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
    /* RAM reserved as emulated persistent memory. */
    CACHEMAINT_BACKING_EMULATED_PMEM = 3,
    /* Persistent memory: power loss keeps what the memory controller has accepted. */
    CACHEMAINT_BACKING_PMEM_ADR = 4,
    /* Persistent memory: power loss keeps the CPU caches too. */
    CACHEMAINT_BACKING_PMEM_EADR = 5,
    /* CXL memory that reports Global Persistent Flush. */
    CACHEMAINT_BACKING_CXL_GPF = 6,
    /* CXL memory that does not report it. */
    CACHEMAINT_BACKING_CXL = 7,
    /* Persistent memory whose persistence domain is not reported. */
    CACHEMAINT_BACKING_PMEM_UNKNOWN = 8,
    /* virtio-pmem: memory of the host. */
    CACHEMAINT_BACKING_VIRTIO_PMEM = 9,
    /* A file system whose path to storage is not visible: overlayfs over a drive, ZFS, NFS, FUSE, or any on systems
     * other than Linux. */
    CACHEMAINT_BACKING_FILE_SYSTEM = 10
};

/* The guarantee of an open file. The texts are valid until the file is closed. */
struct cachemaint_guarantee {
    /* One of enum cachemaint_granularity. */
    int granularity;
    /* One of enum cachemaint_backing. */
    int backing;
    /* The size of the smallest unit in bytes: 1, a line or a page. Bytes of one unit are written together. */
    size_t unit;
    /* The reason for the granularity. */
    const char *reason;
    /* How to get a finer granularity; NULL if no way is known. */
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
    /* Only stored. */
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
    /* A reboot through firmware, without power loss. */
    CACHEMAINT_WARM_REBOOT = 2,
    /* Power is lost. */
    CACHEMAINT_POWER_LOSS = 3
};

/* The answer to a question about an event. */
enum cachemaint_answer {
    /* The bytes are lost. */
    CACHEMAINT_LOST = 0,
    /* The bytes may be kept, but no source promises it. */
    CACHEMAINT_NOT_PROMISED = 1,
    /* The bytes are kept if the condition in `text` holds. */
    CACHEMAINT_CONDITIONAL = 2,
    /* The bytes are kept, according to the platform. */
    CACHEMAINT_KEPT = 3
};

/* Whether bytes survive, and the source of the claim. The texts are valid until the file is closed. */
struct cachemaint_survival {
    /* One of enum cachemaint_answer. */
    int answer;
    /* Always 0. */
    int reserved;
    /* The answer in words, with its condition. */
    const char *text;
    /* The source of the claim. */
    const char *source;
    /* "documented", "read in source code", "measured" or "assumed". */
    const char *certainty;
};

/* Fills in whether bytes of the file that have reached a stage survive an event. `size` is sizeof *survival. */
CACHEMAINT_CHECKED int cachemaint_get_survival(const cachemaint_file *file, enum cachemaint_stage stage,
                                               enum cachemaint_event event, struct cachemaint_survival *survival,
                                               size_t size);

/* ---- Caches ---------------------------------------------------------------------------------------------------- */

/* For memory that is shared with a device, or another host, that does not snoop the CPU caches. These functions write
 * back to the point of coherency, where all observers see the same bytes. They need no open file, and promise nothing
 * about power loss. All return CACHEMAINT_UNSUPPORTED if user mode has no instruction for this on this CPU. */

/* The instructions used on this machine. The texts are valid as long as the library is loaded. */
struct cachemaint_host {
    /* The number of bytes that one instruction works on. */
    size_t line_size;
    /* The alignment and padding, in bytes, that keep data from sharing a line with other data. */
    size_t granule;
    /* The instruction that writes back to the point of coherency, and the fences before (or NULL) and after it. */
    const char *writeback;
    const char *writeback_fence_before;
    const char *writeback_fence;
    /* The instruction that invalidates, and its fences. It also writes back dirty lines. */
    const char *invalidate;
    const char *invalidate_fence_before;
    const char *invalidate_fence;
    /* The instruction that writes back to the point of persistence; NULL if none reaches it. */
    const char *persist;
    /* Why none reaches it, and the action to take; NULL if one does. */
    const char *persist_refused;
};

/* Fills in the instructions used on this machine. `size` is sizeof *host. */
CACHEMAINT_CHECKED int cachemaint_get_host(struct cachemaint_host *host, size_t size);

/* Writes a range back, so that a device sees the bytes that this thread has stored. To include stores of other threads
 * that it has observed, call cachemaint_cache_order_observed first. The lines may stay cached.
 * Cost: one instruction per line, and its fences. No lock and no allocation after the first call. */
CACHEMAINT_CHECKED int cachemaint_cache_writeback(const void *address, size_t length);

/* Drops a range from the caches, so that later loads see the bytes that a device stored before the call.
 * Dirty lines are written back and overwrite the device's bytes: write them back before the device starts. Bytes that
 * share a line with the range are not lost.
 * Cost: that of cachemaint_cache_writeback. */
CACHEMAINT_CHECKED int cachemaint_cache_invalidate(void *address, size_t length);

/* Does both: a device sees the stored bytes, and later loads fetch from memory.
 * Cost: that of cachemaint_cache_writeback. */
CACHEMAINT_CHECKED int cachemaint_cache_writeback_invalidate(const void *address, size_t length);

/* Orders stores of other threads that this thread has observed before its next cache operations. Call it between the
 * load that observed another thread's store and the write-back that must include that store.
 * Cost: one fence. */
CACHEMAINT_CHECKED int cachemaint_cache_order_observed(void);

/* Writes several ranges back under one fence. */
CACHEMAINT_CHECKED int cachemaint_cache_writeback_ranges(const struct cachemaint_range *ranges, size_t count);

/* Copies bytes and writes them back. The ranges may overlap. No other thread may use `to`, or store to `from`, during
 * the call.
 * Cost: the stores, at most one write-back per line, and one or two fences. */
CACHEMAINT_CHECKED int cachemaint_cache_copy(void *to, const void *from, size_t length,
                                             enum cachemaint_destination destination);

/* Sets bytes and writes them back, as cachemaint_cache_copy does. */
CACHEMAINT_CHECKED int cachemaint_cache_fill(void *to, unsigned char byte, size_t length,
                                             enum cachemaint_destination destination);

#ifdef __cplusplus
}
#endif

#endif
