/* Errors that the system causes, and their messages. The usage is: errors FOLDER, which is an empty one. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cachemaint.h>

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LENGTH ((size_t)1 << 16)

static char path[4096];

/* The number of calls that fail from now on. */
static int failing_syncs;

/* A message, and its end. */
static const char *watched;
static int is_released;

#ifdef __cplusplus
#define NO_EXCEPTIONS noexcept
extern "C" {
#else
#define NO_EXCEPTIONS
#endif

void __libc_free(void *address);

/* Takes the place of the C library's. */
void free(void *address) NO_EXCEPTIONS {
    if (address != NULL && address == watched)
        is_released = 1;
    __libc_free(address);
}

/* Takes the place of the C library's. */
int fsync(int descriptor) {
    if (failing_syncs == 0)
        return (int)syscall(SYS_fsync, descriptor);
    failing_syncs -= 1;
    errno = EIO;
    return -1;
}

#ifdef __cplusplus
}
#endif

static cachemaint_file *opened(void) {
    cachemaint_file *file = NULL;
    DONE(cachemaint_open(path, LENGTH, CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES, &file));
    if (file == NULL)
        exit(1);
    return file;
}

/* The message has the loss and an action, after the words of the system. */
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

/* A growth to the length that the file has syncs it too. */
static void a_failed_sync_of_a_growth_is_a_failed_write_back(void) {
    for (uint64_t length = LENGTH; length <= 2 * LENGTH; length += LENGTH) {
        cachemaint_file *file = opened();
        failing_syncs = 1;
        REFUSED(cachemaint_grow(file, length), CACHEMAINT_WRITEBACK_FAILED);
        check_loss();
        CHECK(failing_syncs == 0);
        CHECK(cachemaint_length(file) == LENGTH);
        REFUSED(cachemaint_taint(file), CACHEMAINT_WRITEBACK_FAILED);
        DONE(cachemaint_close(file));
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

/* The C library ends the thread-local objects of C++ and Rust before. */
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
    a_failed_sync_of_an_opening_is_a_failed_write_back();
    a_failed_sync_of_a_growth_is_a_failed_write_back();
    a_message_is_released_when_its_thread_ends();
    is_released = 0;
    refused(NULL);
    return 0;
}
