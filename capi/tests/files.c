/* The calls of a program that uses files, and the mistakes that it can make. FOLDER is an empty one. */
#define _DEFAULT_SOURCE
#include <cachemaint.h>

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH ((size_t)1 << 16)
#define ORDINARY (CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES)
#define ANYWHERE CACHEMAINT_ANYWHERE

static char path[4096];

/* A value that is in no enumeration. */
static volatile int other = 9;

static cachemaint_file *opened(uint64_t length, unsigned flags) {
    cachemaint_file *file = NULL;
    DONE(cachemaint_open(path, length, flags, &file));
    if (file == NULL)
        exit(ended("files"));
    return file;
}

static void stored_bytes_are_there_after_the_next_opening(void) {
    cachemaint_file *file = opened(LENGTH, CACHEMAINT_NEW | CACHEMAINT_ALLOW_PAGES);
    char *bytes = (char *)cachemaint_address(file);
    char zeros[64] = {0};
    CHECK(cachemaint_length(file) == LENGTH);
    CHECK((uintptr_t)bytes % 4096 == 0);
    CHECK(memcmp(bytes, zeros, sizeof zeros) == 0);

    memcpy(bytes + 100, "one", 4);
    DONE(cachemaint_persist(file, bytes + 100, 4));
    memcpy(bytes + 9000, "two", 4);
    DONE(cachemaint_issue_writeback(file, bytes + 9000, 4));
    DONE(cachemaint_fence(file));
    memcpy(bytes + 20000, "three", 6);
    DONE(cachemaint_order_observed(file));
    DONE(cachemaint_persist(file, bytes + 20000, 6));
    DONE(cachemaint_close(file));

    file = opened(LENGTH, ORDINARY);
    bytes = (char *)cachemaint_address(file);
    CHECK(memcmp(bytes + 100, "one", 4) == 0);
    CHECK(memcmp(bytes + 9000, "two", 4) == 0);
    CHECK(memcmp(bytes + 20000, "three", 6) == 0);
    DONE(cachemaint_check(file));
    DONE(cachemaint_close(file));
}

static void several_ranges_are_persisted_at_once(void) {
    cachemaint_file *file = opened(LENGTH, ORDINARY);
    char *bytes = (char *)cachemaint_address(file);
    struct cachemaint_range ranges[2];
    ranges[0].address = bytes;
    ranges[0].length = 64;
    ranges[1].address = bytes + LENGTH - 1;
    ranges[1].length = 1;
    DONE(cachemaint_persist_ranges(file, ranges, 2));
    DONE(cachemaint_persist_ranges(file, NULL, 0));
    DONE(cachemaint_persist(file, NULL, 0));
    DONE(cachemaint_deep_persist(file, NULL, 0));
    DONE(cachemaint_issue_writeback(file, NULL, 0));
    DONE(cachemaint_persist_copy(file, NULL, NULL, 0, CACHEMAINT_ANYWHERE));
    DONE(cachemaint_persist_fill(file, NULL, 0, 0, CACHEMAINT_ANYWHERE));
    DONE(cachemaint_issue_copy(file, NULL, NULL, 0, CACHEMAINT_ANYWHERE));
    DONE(cachemaint_issue_fill(file, NULL, 0, 0, CACHEMAINT_ANYWHERE));
    ranges[1].length = 2;
    REFUSED(cachemaint_persist_ranges(file, ranges, 2), CACHEMAINT_OUT_OF_RANGE);
    ranges[1].address = NULL;
    REFUSED(cachemaint_persist_ranges(file, ranges, 2), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_persist_ranges(file, NULL, 2), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_persist_ranges(file, ranges, SIZE_MAX), CACHEMAINT_OUT_OF_RANGE);
    DONE(cachemaint_close(file));
}

/* The copies of the C library are the model. */
static void copies_and_fills_store_what_memmove_and_memset_do(void) {
    static unsigned char model[LENGTH];
    const size_t moves[][3] = {
        /* to, from, length */
        {5000, 100, 9000}, {100, 5000, 9000}, {0, 0, 64}, {8, 0, 20000}, {0, 8, 20000}, {LENGTH, 0, 0}, {3, 1, 1},
    };
    cachemaint_file *file = opened(LENGTH, ORDINARY);
    unsigned char *bytes = (unsigned char *)cachemaint_address(file);
    for (size_t at = 0; at < LENGTH; at++)
        model[at] = (unsigned char)(at * 7 + at / 251 + 1);
    DONE(cachemaint_persist_copy(file, bytes, model, LENGTH, CACHEMAINT_COLD));
    CHECK(memcmp(bytes, model, LENGTH) == 0);
    for (size_t number = 0; number < sizeof moves / sizeof moves[0]; number++) {
        const size_t *move = moves[number];
        memmove(model + move[0], model + move[1], move[2]);
        DONE(cachemaint_persist_copy(file, bytes + move[0], bytes + move[1], move[2], ANYWHERE));
        CHECK(memcmp(bytes, model, LENGTH) == 0);
        memmove(model + move[0], model + move[1], move[2]);
        DONE(cachemaint_issue_copy(file, bytes + move[0], bytes + move[1], move[2], ANYWHERE));
        DONE(cachemaint_fence(file));
        CHECK(memcmp(bytes, model, LENGTH) == 0);
    }
    memset(model + 4090, 0xa5, 12345);
    DONE(cachemaint_persist_fill(file, bytes + 4090, 0xa5, 12345, CACHEMAINT_CACHED));
    CHECK(memcmp(bytes, model, LENGTH) == 0);
    memset(model + 77, 0x5a, 200);
    DONE(cachemaint_issue_fill(file, bytes + 77, 0x5a, 200, CACHEMAINT_CACHED));
    DONE(cachemaint_issue_fill(file, bytes + LENGTH, 1, 0, ANYWHERE));
    DONE(cachemaint_fence(file));
    CHECK(memcmp(bytes, model, LENGTH) == 0);
    DONE(cachemaint_close(file));
}

/* Crashes the program in the middle of a copy: the second page of the source cannot be read. */
static void crash_in_a_copy(size_t to) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *from = (char *)mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct rlimit none = {0, 0};
    cachemaint_file *file = opened(0, CACHEMAINT_ALLOW_PAGES);
    if (from == MAP_FAILED || setrlimit(RLIMIT_CORE, &none) != 0)
        _exit(1);
    memset(from, 0xff, page);
    if (mprotect(from + page, page, PROT_NONE) != 0)
        _exit(1);
    _exit(cachemaint_persist_copy(file, (char *)cachemaint_address(file) + to, from, 2 * page, ANYWHERE) == 0 ? 2 : 3);
}

static void a_crash_in_a_copy_tears_no_word(void) {
    for (size_t to = 0; to <= 8; to++) {
        cachemaint_file *file = opened(LENGTH, ORDINARY);
        int status = 0;
        pid_t child;
        const uint64_t *words;
        DONE(cachemaint_persist_fill(file, cachemaint_address(file), 0, LENGTH, ANYWHERE));
        DONE(cachemaint_close(file));
        child = fork();
        if (child == 0)
            crash_in_a_copy(to);
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        file = opened(0, CACHEMAINT_ALLOW_PAGES);
        words = (const uint64_t *)cachemaint_address(file);
        /* The first word can be partly outside the range. */
        for (size_t at = 1; at < LENGTH / sizeof *words; at++)
            CHECK(words[at] == 0 || words[at] == UINT64_MAX);
        DONE(cachemaint_close(file));
    }
}

static void a_range_outside_of_the_file_is_refused(void) {
    char outside[64] = {0};
    cachemaint_file *file = opened(LENGTH, ORDINARY);
    char *bytes = (char *)cachemaint_address(file);
    const cachemaint_file *read = file;
    REFUSED(cachemaint_persist(read, bytes, LENGTH + 1), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_persist(read, bytes + 1, SIZE_MAX), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_persist(read, bytes - 1, 1), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_persist(read, outside, sizeof outside), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_persist(read, NULL, 1), CACHEMAINT_INVALID_ARGUMENT);
    DONE(cachemaint_persist(read, bytes + LENGTH, 0));
    REFUSED(cachemaint_issue_writeback(read, bytes + LENGTH, 1), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_deep_persist(read, bytes + LENGTH, 1), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_persist_copy(file, outside, bytes, 8, ANYWHERE), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_persist_copy(file, bytes, NULL, 8, ANYWHERE), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_persist_copy(file, bytes, outside, 8, (enum cachemaint_destination)other),
            CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_persist_fill(file, bytes + 1, 0, LENGTH, ANYWHERE), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_issue_copy(file, outside, bytes, 8, ANYWHERE), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_issue_copy(file, bytes, NULL, 8, ANYWHERE), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_issue_fill(file, bytes, 0, 8, (enum cachemaint_destination)other), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_issue_fill(file, bytes + 1, 0, LENGTH, ANYWHERE), CACHEMAINT_OUT_OF_RANGE);
    DONE(cachemaint_deep_persist(read, bytes, LENGTH));
    DONE(cachemaint_close(file));
}

static void a_closed_file_and_a_null_one_are_refused(void) {
    cachemaint_file *file = opened(LENGTH, ORDINARY);
    void *address = cachemaint_address(file);
    size_t count;
    DONE(cachemaint_close(file));
    REFUSED(cachemaint_persist(file, address, 8), CACHEMAINT_CLOSED);
    REFUSED(cachemaint_fence(file), CACHEMAINT_CLOSED);
    REFUSED(cachemaint_check(file), CACHEMAINT_CLOSED);
    REFUSED(cachemaint_grow(file, LENGTH), CACHEMAINT_CLOSED);
    REFUSED(cachemaint_bad_blocks(file, NULL, 0, &count, NULL), CACHEMAINT_CLOSED);
    REFUSED(cachemaint_close(file), CACHEMAINT_CLOSED);
    CHECK(cachemaint_address(file) == NULL);
    CHECK(cachemaint_length(file) == 0);
    REFUSED(cachemaint_persist(NULL, address, 8), CACHEMAINT_INVALID_ARGUMENT);
    CHECK(cachemaint_address(NULL) == NULL);
    DONE(cachemaint_close(NULL));
}

static void a_file_that_cannot_be_opened_is_an_error_with_a_reason(const char *folder) {
    static char name[6000];
    cachemaint_file *file = (cachemaint_file *)name, *second;
    struct rlimit limit;

    REFUSED(cachemaint_open(NULL, LENGTH, ORDINARY, &file), CACHEMAINT_INVALID_ARGUMENT);
    CHECK(file == NULL);
    REFUSED(cachemaint_open(path, LENGTH, ORDINARY, NULL), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_open(path, LENGTH, 1u << 20, &file), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_open(path, LENGTH, CACHEMAINT_CREATE | CACHEMAINT_NEW, &file), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_open(path, LENGTH, CACHEMAINT_NEW, &file), CACHEMAINT_EXISTS);
    REFUSED(cachemaint_open(path, LENGTH, 0, &file), CACHEMAINT_TOO_COARSE);
    CHECK(strstr(cachemaint_error_message(), "CACHEMAINT_ALLOW_PAGES") != NULL);
    REFUSED(cachemaint_open(path, LENGTH + 1, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_TOO_SHORT);
    REFUSED(cachemaint_open(path, LENGTH + 1, ORDINARY, &file), CACHEMAINT_TOO_SHORT);
    REFUSED(cachemaint_open(path, UINT64_MAX, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_open(path, UINT64_MAX, ORDINARY, &file), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_open(folder, 0, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_NOT_A_FILE);
    REFUSED(cachemaint_open("", 0, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_NOT_FOUND);
    snprintf(name, sizeof name, "%s/missing", folder);
    REFUSED(cachemaint_open(name, 0, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_NOT_FOUND);
    CHECK(strstr(cachemaint_error_message(), name) != NULL);
    CHECK(cachemaint_error_errno() == ENOENT);
    REFUSED(cachemaint_open(name, 0, ORDINARY, &file), CACHEMAINT_INVALID_ARGUMENT);
    snprintf(name, sizeof name, "%s/link", folder);
    CHECK(symlink(path, name) == 0);
    REFUSED(cachemaint_open(name, 0, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_NOT_A_FILE);
    memset(name, 'a', 5000);
    REFUSED(cachemaint_open(name, LENGTH, ORDINARY, &file), CACHEMAINT_INVALID_ARGUMENT);
    CHECK(cachemaint_error_errno() == ENAMETOOLONG);

    file = opened(0, CACHEMAINT_ALLOW_PAGES);
    REFUSED(cachemaint_open(path, 0, CACHEMAINT_ALLOW_PAGES, &second), CACHEMAINT_LOCKED);
    CHECK(second == NULL);
    DONE(cachemaint_close(file));
    file = opened(0, CACHEMAINT_ALLOW_PAGES | CACHEMAINT_SHARED_LOCK);
    DONE(cachemaint_open(path, 0, CACHEMAINT_ALLOW_PAGES | CACHEMAINT_SHARED_LOCK, &second));
    REFUSED(cachemaint_grow(file, 2 * LENGTH), CACHEMAINT_INVALID_ARGUMENT);
    DONE(cachemaint_grow(file, LENGTH));
    DONE(cachemaint_close(second));
    DONE(cachemaint_close(file));

    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = LENGTH;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    snprintf(name, sizeof name, "%s/large", folder);
    REFUSED(cachemaint_open(name, 2 * LENGTH, ORDINARY, &file), CACHEMAINT_NO_SPACE);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void a_message_is_one_line_whatever_the_name_of_the_file(const char *folder) {
    char name[4200];
    cachemaint_file *file;
    snprintf(name, sizeof name, "%s/a\n\033[2J", folder);
    DONE(cachemaint_open(name, LENGTH, ORDINARY, &file));
    REFUSED(cachemaint_persist(file, name, 1), CACHEMAINT_OUT_OF_RANGE);
    CHECK(strpbrk(cachemaint_error_message(), "\n\033") == NULL);
    DONE(cachemaint_close(file));
    REFUSED(cachemaint_open(name, LENGTH + 1, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_TOO_SHORT);
    CHECK(strpbrk(cachemaint_error_message(), "\n\033") == NULL);
}

static void a_file_of_another_user_is_refused(void) {
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        cachemaint_file *file;
        failures = 0;
        if (geteuid() != 0 || setuid(65534) == 0) {
            CHECK(geteuid() == 0 || chmod(path, 0) == 0 || errno == EPERM || errno == EACCES);
            REFUSED(cachemaint_open(path, 0, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_PERMISSION);
        }
        _exit(failures != 0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(chmod(path, 0600) == 0);
}

static void a_file_grows_and_keeps_its_bytes(void) {
    cachemaint_file *file = opened(LENGTH, ORDINARY);
    char *bytes = (char *)cachemaint_address(file);
    bytes[LENGTH - 1] = 77;
    DONE(cachemaint_persist(file, bytes + LENGTH - 1, 1));
    DONE(cachemaint_grow(file, 4 * LENGTH));
    bytes = (char *)cachemaint_address(file);
    CHECK(cachemaint_length(file) == 4 * LENGTH);
    CHECK(bytes[LENGTH - 1] == 77);
    CHECK(bytes[4 * LENGTH - 1] == 0);
    DONE(cachemaint_persist(file, bytes + 4 * LENGTH - 1, 1));
    REFUSED(cachemaint_grow(file, LENGTH), CACHEMAINT_INVALID_ARGUMENT);
    CHECK(strstr(cachemaint_error_message(), "pass a larger length") != NULL);
    REFUSED(cachemaint_grow(file, UINT64_MAX), CACHEMAINT_INVALID_ARGUMENT);
    DONE(cachemaint_close(file));
}

/* The file is not on persistent memory: the folder is on an ordinary file system. */
static void the_guarantee_is_that_of_an_ordinary_file(void) {
    cachemaint_file *file = opened(LENGTH, ORDINARY);
    struct cachemaint_guarantee guarantee;
    struct cachemaint_survival survival;
    struct cachemaint_range bad[1];
    size_t count = 1;
    int is_complete = -1, result;
    DONE(cachemaint_get_guarantee(file, &guarantee, sizeof guarantee));
    CHECK(guarantee.granularity == CACHEMAINT_PAGE);
    CHECK(guarantee.unit == (size_t)sysconf(_SC_PAGESIZE));
    CHECK(strlen(guarantee.reason) > 0 && strlen(guarantee.backing_name) > 0);
    DONE(cachemaint_get_survival(file, CACHEMAINT_PERSISTED, CACHEMAINT_PROCESS_CRASH, &survival, sizeof survival));
    CHECK(survival.answer == CACHEMAINT_KEPT);
    CHECK(strlen(survival.text) > 0 && strlen(survival.source) > 0 && strlen(survival.certainty) > 0);
    DONE(cachemaint_get_survival(file, CACHEMAINT_STORED, CACHEMAINT_POWER_LOSS, &survival, sizeof survival));
    CHECK(survival.answer == CACHEMAINT_LOST);
    REFUSED(cachemaint_get_survival(file, (enum cachemaint_stage)other, CACHEMAINT_KEXEC, &survival, sizeof survival),
            CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_get_survival(file, CACHEMAINT_STORED, (enum cachemaint_event)other, &survival, sizeof survival),
            CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_get_guarantee(file, NULL, sizeof guarantee), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_get_guarantee(file, &guarantee, 0), CACHEMAINT_INVALID_ARGUMENT);
    result = cachemaint_bad_blocks(file, bad, 1, &count, &is_complete);
    CHECK(result != CACHEMAINT_OK || (count == 0 && is_complete == 1));
    REFUSED(cachemaint_bad_blocks(file, NULL, 1, &count, NULL), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_bad_blocks(file, bad, 1, NULL, NULL), CACHEMAINT_INVALID_ARGUMENT);
    DONE(cachemaint_close(file));
}

static cachemaint_file *of_a_cancelled_thread;
static volatile int returned_calls;

/* Each call meets a pending cancellation. The thread acts on it afterwards. */
static void *cancelled(void *unused) {
    char *bytes = (char *)cachemaint_address(of_a_cancelled_thread), source[8] = {1};
    struct cachemaint_range range;
    cachemaint_file *second;
    size_t count;
    int call = 0;
    (void)unused;
    range.address = bytes;
    range.length = 8;
    CHECK(pthread_cancel(pthread_self()) == 0);
    DONE(cachemaint_persist(of_a_cancelled_thread, bytes, 8));
    returned_calls = ++call;
    DONE(cachemaint_persist_ranges(of_a_cancelled_thread, &range, 1));
    returned_calls = ++call;
    DONE(cachemaint_issue_writeback(of_a_cancelled_thread, bytes, 8));
    returned_calls = ++call;
    DONE(cachemaint_deep_persist(of_a_cancelled_thread, bytes, 8));
    returned_calls = ++call;
    DONE(cachemaint_persist_copy(of_a_cancelled_thread, bytes, source, sizeof source, ANYWHERE));
    returned_calls = ++call;
    DONE(cachemaint_persist_fill(of_a_cancelled_thread, bytes, 1, 8, ANYWHERE));
    returned_calls = ++call;
    DONE(cachemaint_issue_copy(of_a_cancelled_thread, bytes, source, sizeof source, ANYWHERE));
    returned_calls = ++call;
    DONE(cachemaint_issue_fill(of_a_cancelled_thread, bytes, 1, 8, ANYWHERE));
    returned_calls = ++call;
    (void)!cachemaint_bad_blocks(of_a_cancelled_thread, NULL, 0, &count, NULL);
    returned_calls = ++call;
    DONE(cachemaint_grow(of_a_cancelled_thread, 8 * LENGTH));
    returned_calls = ++call;
    DONE(cachemaint_close(of_a_cancelled_thread));
    returned_calls = ++call;
    DONE(cachemaint_open(path, LENGTH, ORDINARY, &second));
    returned_calls = ++call;
    DONE(cachemaint_close(second));
    pthread_testcancel();
    return NULL;
}

/* A file left open would keep its lock, and an unfinished call would block the next one. */
static void a_cancelled_thread_finishes_its_call(void) {
    pthread_t thread;
    void *result = NULL;
    of_a_cancelled_thread = opened(LENGTH, ORDINARY);
    CHECK(pthread_create(&thread, NULL, cancelled, NULL) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK(returned_calls == 12);
}

static void *refused_in_another_thread(void *file) {
    CHECK(strlen(cachemaint_error_message()) == 0);
    REFUSED(cachemaint_fence((cachemaint_file *)file), CACHEMAINT_INVALID_ARGUMENT);
    return NULL;
}

static void each_thread_has_a_message_of_its_own(void) {
    pthread_t thread;
    char before[4096];
    cachemaint_file *file;
    REFUSED(cachemaint_open("", 0, 0, &file), CACHEMAINT_NOT_FOUND);
    snprintf(before, sizeof before, "%s", cachemaint_error_message());
    CHECK(pthread_create(&thread, NULL, refused_in_another_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(strcmp(before, cachemaint_error_message()) == 0);
}

static void refused_in_a_destructor(void *unused) {
    (void)unused;
    REFUSED(cachemaint_fence(NULL), CACHEMAINT_INVALID_ARGUMENT);
}

static void *refused_before_the_end(void *key) {
    REFUSED(cachemaint_fence(NULL), CACHEMAINT_INVALID_ARGUMENT);
    CHECK(pthread_setspecific(*(pthread_key_t *)key, key) == 0);
    return NULL;
}

/* It runs after the destructors of C++, which Rust uses too. */
static void an_error_in_a_destructor_of_a_thread_has_a_message(void) {
    pthread_t thread;
    pthread_key_t key;
    CHECK(pthread_key_create(&key, refused_in_a_destructor) == 0);
    CHECK(pthread_create(&thread, NULL, refused_before_the_end, &key) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_key_delete(key) == 0);
}

static void a_handle_is_used_again_after_a_thousand_others(void) {
    cachemaint_file *first = opened(LENGTH, ORDINARY), *file = first;
    int number = 0;
    DONE(cachemaint_close(first));
    do {
        file = opened(0, CACHEMAINT_ALLOW_PAGES);
        DONE(cachemaint_close(file));
        number += 1;
    } while (file != first && number < 3000);
    CHECK(number > 1000 && number < 1100);
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: files FOLDER\n");
        return 2;
    }
    CHECK(cachemaint_version() == CACHEMAINT_VERSION);
    CHECK(strlen(cachemaint_error_message()) == 0);
    snprintf(path, sizeof path, "%s/file", arguments[1]);
    stored_bytes_are_there_after_the_next_opening();
    several_ranges_are_persisted_at_once();
    copies_and_fills_store_what_memmove_and_memset_do();
    a_crash_in_a_copy_tears_no_word();
    a_range_outside_of_the_file_is_refused();
    a_closed_file_and_a_null_one_are_refused();
    a_file_that_cannot_be_opened_is_an_error_with_a_reason(arguments[1]);
    a_message_is_one_line_whatever_the_name_of_the_file(arguments[1]);
    a_file_of_another_user_is_refused();
    a_file_grows_and_keeps_its_bytes();
    the_guarantee_is_that_of_an_ordinary_file();
    a_cancelled_thread_finishes_its_call();
    each_thread_has_a_message_of_its_own();
    an_error_in_a_destructor_of_a_thread_has_a_message();
    a_handle_is_used_again_after_a_thousand_others();
    return ended("files");
}
