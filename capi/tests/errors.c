/* Errors that the system causes, and their messages. The usage is: errors FOLDER, with an empty folder. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cachemaint.h>

#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH ((size_t)1 << 16)

static char path[4096];

/* The number of calls that succeed from now on, and the number that fail after them. */
static int passing_syncs, failing_syncs;

/* The errno of the failing calls. */
static int sync_error = EIO;

/* A message, and whether it was released. */
static const char *watched;
static int is_released;

BEGIN_C

void __libc_free(void *address);

/* Replaces the function of the C library. */
void free(void *address) NO_EXCEPTIONS {
    if (address != NULL && address == watched)
        is_released = 1;
    __libc_free(address);
}

/* Replaces the function of the C library. */
int fsync(int descriptor) {
    if (failing_syncs == 0 || passing_syncs > 0) {
        passing_syncs -= passing_syncs > 0;
        return (int)syscall(SYS_fsync, descriptor);
    }
    failing_syncs -= 1;
    errno = sync_error;
    return -1;
}

END_C

static cachemaint_file *opened(void) {
    cachemaint_file *file = NULL;
    DONE(cachemaint_open(path, LENGTH, CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES, &file));
    if (file == NULL)
        exit(1);
    return file;
}

/* After the system's text, the message names the loss and an action. */
static void check_loss(void) {
    CHECK(cachemaint_error_errno() == EIO);
    CHECK(strstr(cachemaint_error_message(), "may be lost") != NULL);
    CHECK(strstr(cachemaint_error_message(), "check the device") != NULL);
}

static void a_failed_sync_of_an_opening_is_a_failed_write_back(void) {
    cachemaint_file *file = opened();
    DONE(cachemaint_close(file));
    failing_syncs = 1;
    REFUSED(cachemaint_open(path, LENGTH, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_WRITEBACK_FAILED);
    check_loss();
    CHECK(failing_syncs == 0);
}

/* The first sync is that of the file's zeros, and the second one follows once it has its name. */
static void a_failed_sync_of_a_new_file_loses_no_bytes(void) {
    for (int passing = 0; passing < 2; passing++) {
        cachemaint_file *file;
        passing_syncs = passing;
        failing_syncs = 1;
        REFUSED(cachemaint_open(path, LENGTH, CACHEMAINT_NEW | CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_SYSTEM);
        CHECK(cachemaint_error_errno() == EIO);
        CHECK(strstr(cachemaint_error_message(), "may be lost") == NULL);
        CHECK(passing_syncs == 0 && failing_syncs == 0);
        CHECK(access(path, F_OK) != 0);
    }
}

/* A growth to the current length syncs the file too. */
static void a_failed_sync_of_a_growth_is_a_failed_write_back(void) {
    for (uint64_t length = LENGTH; length <= 2 * LENGTH; length += LENGTH) {
        cachemaint_file *file = opened();
        failing_syncs = 1;
        REFUSED(cachemaint_grow(file, length), CACHEMAINT_WRITEBACK_FAILED);
        check_loss();
        CHECK(failing_syncs == 0);
        CHECK(cachemaint_length(file) == LENGTH);
        REFUSED(cachemaint_check(file), CACHEMAINT_WRITEBACK_FAILED);
        DONE(cachemaint_close(file));
    }
}

/* The errno of a file system without syncs, whose files are persisted in whole pages by other calls. */
static void a_sync_that_does_not_exist_loses_no_bytes(void) {
    cachemaint_file *file = opened();
    failing_syncs = 1;
    sync_error = EINVAL;
    DONE(cachemaint_grow(file, LENGTH));
    sync_error = EIO;
    CHECK(failing_syncs == 0);
    DONE(cachemaint_check(file));
    DONE(cachemaint_close(file));
}

/* NFS sends the new bytes to the server during the sync, with the bytes that were stored before. */
static void a_growth_whose_sync_finds_the_file_system_full_is_a_failed_write_back(void) {
    cachemaint_file *file = opened();
    failing_syncs = 1;
    sync_error = ENOSPC;
    REFUSED(cachemaint_grow(file, 2 * LENGTH), CACHEMAINT_WRITEBACK_FAILED);
    CHECK(cachemaint_error_errno() == ENOSPC);
    sync_error = EIO;
    CHECK(failing_syncs == 0);
    CHECK(cachemaint_length(file) == LENGTH);
    REFUSED(cachemaint_check(file), CACHEMAINT_WRITEBACK_FAILED);
    DONE(cachemaint_close(file));
}

/* A limit of the process has the same errno as a failed call of the system. */
static void a_limit_of_the_process_has_its_errno(void) {
    struct rlimit files, few, size, small;
    cachemaint_file *file = opened();
    CHECK(getrlimit(RLIMIT_FSIZE, &size) == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0);
    small = size;
    small.rlim_cur = LENGTH;
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    REFUSED(cachemaint_grow(file, 4 * LENGTH), CACHEMAINT_NO_SPACE);
    CHECK(cachemaint_error_errno() == EFBIG);
    CHECK(setrlimit(RLIMIT_FSIZE, &size) == 0);
    DONE(cachemaint_close(file));

    few = files;
    few.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    REFUSED(cachemaint_open(path, 0, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_SYSTEM);
    CHECK(cachemaint_error_errno() == EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
}

#define LOW_WORD (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0)
#define LENGTH_OF_MADVISE ((unsigned)offsetof(struct seccomp_data, args[1]) + LOW_WORD)
#define ADVICE ((unsigned)offsetof(struct seccomp_data, args[2]) + LOW_WORD)
#define POPULATE_WRITE 23

/* Makes each attempt of this process to populate pages fail. Returns 0 if that is impossible here. */
static int fail_to_populate(int error) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ADVICE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, POPULATE_WRITE, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LENGTH_OF_MADVISE),
        /* Without pages, the call only asks whether the kernel knows the advice. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int populates(void) {
    cachemaint_file *file;
    int error = cachemaint_open(path, LENGTH, CACHEMAINT_ALLOW_PAGES | CACHEMAINT_POPULATE, &file);
    DONE(cachemaint_close(file));
    return error == CACHEMAINT_OK;
}

/* EFAULT has several causes. Newer kernels return EHWPOISON if the medium has lost the page. */
static void a_page_that_is_not_populated_is_a_media_error_only_if_the_medium_is_the_cause(void) {
    const int errors[][2] = {
        {EHWPOISON, CACHEMAINT_MEDIA_ERROR}, {EFAULT, CACHEMAINT_SYSTEM}, {ENOMEM, CACHEMAINT_SYSTEM}};
    for (size_t number = 0; populates() && number < sizeof errors / sizeof errors[0]; number++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            cachemaint_file *file;
            failures = 0;
            if (!fail_to_populate(errors[number][0]))
                _exit(0);
            REFUSED(cachemaint_open(path, LENGTH, CACHEMAINT_ALLOW_PAGES | CACHEMAINT_POPULATE, &file),
                    errors[number][1]);
            CHECK(cachemaint_error_errno() == errors[number][0]);
            _exit(failures != 0);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
}

static void *refused(void *unused) {
    (void)unused;
    REFUSED(cachemaint_fence(NULL), CACHEMAINT_INVALID_ARGUMENT);
    watched = cachemaint_error_message();
    return NULL;
}

static void a_message_is_released_when_its_thread_ends(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, refused, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(is_released);
}

/* The C library destroys the thread-local objects of C++ and Rust before this. */
static void a_message_is_valid_in_a_handler_of_atexit(void) {
    CHECK(!is_released);
    CHECK(watched != NULL && cachemaint_error_message() == watched);
    int status = ended("errors");
    fflush(stdout);
    _exit(status);
}

int main(int count, char **arguments) {
    if (count != 2 || atexit(a_message_is_valid_in_a_handler_of_atexit) != 0)
        return 2;
    snprintf(path, sizeof path, "%s/file", arguments[1]);
    a_failed_sync_of_a_new_file_loses_no_bytes();
    a_failed_sync_of_an_opening_is_a_failed_write_back();
    a_failed_sync_of_a_growth_is_a_failed_write_back();
    a_sync_that_does_not_exist_loses_no_bytes();
    a_growth_whose_sync_finds_the_file_system_full_is_a_failed_write_back();
    a_limit_of_the_process_has_its_errno();
    a_page_that_is_not_populated_is_a_media_error_only_if_the_medium_is_the_cause();
    a_message_is_released_when_its_thread_ends();
    is_released = 0;
    refused(NULL);
    return 0;
}
