/* Programs that make calls on files, one for each name. The directory has `old` with the bytes "old" and the directory `d`. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(call) ({ long result_ = (long)(call); if (result_ < 0) { perror(#call); exit(1); } (int)result_; })
#define OPEN(name) MUST(open(name, O_RDWR | O_CREAT, 0644))
#define SAY(text) MUST(write(1, text "\n", sizeof text))

static char path[64];
static const char *link_to(const char *form, int fd) { snprintf(path, sizeof path, form, fd, getpid()); return path; }
static void linked(const char *form) {
    int fd = MUST(open(".", O_TMPFILE | O_RDWR, 0644));
    MUST(write(fd, "x", 1));
    MUST(linkat(AT_FDCWD, link_to(form, fd), AT_FDCWD, "new", AT_SYMLINK_FOLLOW));
}
static void wait_for(pid_t child) { int status; MUST(waitpid(child, &status, 0)); if (status) exit(1); }

static void opens(void) {
    OPEN("a");
    MUST(creat("b", 0600));
    MUST(openat(MUST(open("d", O_RDONLY)), "c", O_WRONLY | O_CREAT | O_EXCL, 0644));
    struct open_how how = { .flags = O_WRONLY | O_CREAT, .mode = 0644, .resolve = RESOLVE_IN_ROOT };
    MUST(syscall(SYS_openat2, MUST(open("d", O_RDONLY)), "/../e", &how, sizeof how));
    MUST(open("old", O_RDWR | O_CREAT, 0644));
    MUST(open("old", O_RDONLY));
    if (open("a", O_WRONLY | O_CREAT | O_EXCL, 0644) >= 0 || open("none/a", O_WRONLY | O_CREAT, 0644) >= 0) exit(1);
}
static void opens_by_links(void) {
    MUST(symlink("target", "dangling"));
    MUST(open("dangling", O_WRONLY | O_CREAT, 0644));
    MUST(open(link_to("/proc/self/fd/%d/in", MUST(open("d", O_RDONLY))), O_WRONLY | O_CREAT, 0644));
    MUST(open("/proc/self/cwd/d/../here", O_WRONLY | O_CREAT, 0644));
    MUST(open(link_to("/proc/self/fd/%d", MUST(open("old", O_RDONLY))), O_WRONLY | O_TRUNC));
}
static void truncates(void) {
    MUST(close(MUST(open("old", O_WRONLY | O_TRUNC))));
    MUST(truncate("old", 9));
    int fd = OPEN("old");
    MUST(ftruncate(fd, 5));
    MUST(ftruncate(fd, 0));
    MUST(write(fd, "x", 1));
    MUST(close(fd));
}
static void tmpfile_empty(void) {
    int fd = MUST(open("d", O_TMPFILE | O_RDWR, 0644));
    /* Old kernels permit it only to root. */
    if (linkat(fd, "", AT_FDCWD, "new", AT_EMPTY_PATH) != 0)
        MUST(linkat(AT_FDCWD, link_to("/proc/self/fd/%d", fd), AT_FDCWD, "new", AT_SYMLINK_FOLLOW));
}
static void tmpfile_self(void) { linked("/proc/self/fd/%d"); }
static void tmpfile_thread(void) { linked("/proc/thread-self/fd/%d"); }
static void tmpfile_dev(void) { linked("/dev/fd/%d"); }
static void tmpfile_pid(void) { linked("/proc/%2$d/fd/%1$d"); }
static void tmpfile_by_own_link(void) { MUST(symlink("/proc/self", "me")); linked("me/fd/%d"); }

static void dups(void) {
    int fd = MUST(open("old", O_WRONLY | O_TRUNC)), other = MUST(dup(fd));
    MUST(close(fd));
    MUST(write(other, "a", 1));
    MUST(dup2(other, 90));
    MUST(close(other));
    MUST(dup3(90, 91, O_CLOEXEC));
    MUST(fcntl(91, F_DUPFD, 92));
    MUST(close(90));
    MUST(close(91));
    MUST(write(92, "b", 1));
    MUST(syscall(SYS_close_range, 92, 200, 0));
    OPEN("next");
}
static void dup2_closes(void) {
    int other = OPEN("other"), fd = MUST(open("old", O_WRONLY | O_TRUNC));
    MUST(write(fd, "a", 1));
    MUST(dup2(other, fd));
    OPEN("next");
}
static void fork_after_open(void) {
    int fd = MUST(open("old", O_WRONLY | O_TRUNC)), ends[2];
    pid_t child = MUST(fork());
    if (child == 0) { MUST(write(fd, "a", 1)); MUST(close(fd)); _exit(0); }
    wait_for(child);
    MUST(write(fd, "b", 1));
    MUST(pipe(ends));
    child = MUST(fork());
    if (child == 0) { char byte; MUST(close(ends[1])); MUST(read(ends[0], &byte, 1)); _exit(0); }
    MUST(close(fd));
    OPEN("between");
    MUST(close(ends[1]));
    wait_for(child);
    OPEN("next");
}
static void vfork_and_exec(void) {
    int fd = MUST(open("old", O_WRONLY | O_TRUNC | O_CLOEXEC));
    MUST(write(fd, "a", 1));
    pid_t child = vfork();
    if (child == 0) { execl("/bin/sh", "sh", "-c", "echo child > child", (char *)0); _exit(1); }
    wait_for(child);
    MUST(write(fd, "b", 1));
    char *argv[] = { "sh", "-c", ": > next", 0 };
    MUST(execv("/bin/sh", argv));
}
static void a_mapping_keeps_it_open(void) {
    int fd = MUST(open("old", O_RDWR | O_TRUNC));
    MUST(ftruncate(fd, 4096));
    char *bytes = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    MUST(close(fd));
    OPEN("mapped");
    MUST(munmap(bytes, 4096));
    OPEN("next");
}
static void writes(void) {
    int fd = OPEN("w");
    struct iovec two[2] = { { "ab", 2 }, { "cd", 2 } };
    MUST(write(fd, "x", 1));
    MUST(pwrite(fd, "y", 1, 7));
    MUST(writev(fd, two, 2));
    MUST(pwritev(fd, two, 2, 20));
    MUST(pwritev2(fd, two, 1, -1, 0));
    MUST(pwritev2(fd, two, 1, 30, RWF_DSYNC));
    MUST(pwritev2(fd, two, 1, 0, RWF_APPEND));
    fd = MUST(open("w", O_WRONLY | O_APPEND));
    MUST(write(fd, "z", 1));
    fd = MUST(open("w", O_WRONLY | O_SYNC));
    MUST(write(fd, "s", 1));
    MUST(lseek(fd, 3, SEEK_SET));
    MUST(write(fd, "t", 1));
}
static void copies(void) {
    int from = MUST(open("old", O_RDONLY)), to = OPEN("to");
    loff_t at = 1, place = 10;
    MUST(sendfile(to, from, 0, 3));
    MUST(copy_file_range(from, &at, to, &place, 2, 0));
    at = 0;
    MUST(copy_file_range(from, &at, to, 0, 1, 0));
}
static void copies_to_an_emptied_file(void) {
    int from = OPEN("from"), to = MUST(open("old", O_RDWR | O_TRUNC));
    MUST(write(from, "abc", 3));
    loff_t at = 0;
    MUST(copy_file_range(from, &at, to, 0, 3, 0));
    OPEN("still");
    MUST(close(to));
}
static void splices(void) {
    int pipes[2], file = OPEN("f");
    MUST(pipe(pipes));
    pid_t child = MUST(fork());
    if (child == 0) { usleep(1000); MUST(write(pipes[1], "spliced\n", 8)); _exit(0); }
    MUST(splice(pipes[0], 0, 1, 0, 8, 0));
    wait_for(child);
    MUST(write(pipes[1], "more\n", 5));
    if (splice(pipes[0], 0, file, 0, 5, 0) != -1 || errno != EINVAL) exit(1);
    MUST(tee(pipes[0], 1, 5, 0));
    struct iovec part = { "vmspliced\n", 10 };
    MUST(vmsplice(1, &part, 1, 0));
}
static void renames(void) {
    OPEN("a");
    MUST(rename("a", "b"));
    MUST(renameat(AT_FDCWD, "b", MUST(open("d", O_RDONLY)), "c"));
    if (renameat2(AT_FDCWD, "old", AT_FDCWD, "d/c", RENAME_NOREPLACE) != -1) exit(1);
    MUST(renameat2(AT_FDCWD, "old", AT_FDCWD, "d/c", RENAME_EXCHANGE));
    MUST(rename("d/c", "old"));
    MUST(link("old", "same"));
    MUST(rename("old", "same"));
    MUST(rename("d", "e"));
    OPEN("e/in");
    MUST(rename("e/in", "../out"));
    MUST(rename("../out", "back"));
    MUST(unlink("back"));
}
static void names(void) {
    MUST(mkdir("m", 0700));
    MUST(mkdirat(AT_FDCWD, "n", 0755));
    MUST(rmdir("n"));
    MUST(symlink("to", "m/s"));
    MUST(symlinkat("x", AT_FDCWD, "t"));
    MUST(link("old", "m/hard"));
    MUST(linkat(AT_FDCWD, "t", AT_FDCWD, "u", 0));
    MUST(unlink("t"));
    MUST(unlinkat(AT_FDCWD, "old", 0));
    MUST(mknod("node", S_IFREG | 0644, 0));
    MUST(mkfifo("fifo", 0644));
    MUST(rename("fifo", "node"));
}
static void allocates(void) {
    int fd = OPEN("f");
    MUST(fallocate(fd, 0, 0, 9000));
    MUST(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000));
    MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 9000));
    if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) != -1 || errno != EOPNOTSUPP) exit(1);
}
static void syncs(void) {
    int fd = OPEN("f"), directory = MUST(open(".", O_RDONLY));
    MUST(fsync(fd));
    MUST(fdatasync(fd));
    MUST(fsync(directory));
    MUST(syncfs(fd));
    sync();
    MUST(sync_file_range(fd, 1, 2, SYNC_FILE_RANGE_WRITE));
    MUST(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
    MUST(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE));
    if (fsync(1) != -1) exit(1);
}
static void maps(void) {
    int fd = OPEN("f");
    MUST(ftruncate(fd, 70000));
    char *bytes = mmap(0, 70000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *own = mmap(0, 70000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    own[0] = 'x';
    bytes[600] = 'a';
    bytes[69999] = 'b';
    MUST(msync(bytes, 4096, MS_SYNC));
    MUST(msync(bytes, 4096, MS_ASYNC));
    MUST(pwrite(fd, "c", 1, 4096));
    bytes[600] = 'd';
    MUST(munmap(bytes, 70000));
}
static atomic_int step;
static void *creates(void *of) { MUST(close(MUST(open(of, O_WRONLY | O_CREAT, 0644)))); return 0; }
static void threads(void) {
    pthread_t thread;
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread, 0, creates, i ? "two" : "one");
        pthread_join(thread, 0);
    }
}

/* Prints while the other thread's sync of much data runs. */
static void *prints(void *of) { while (!step); SAY("during"); return of; }
static void a_print_during_a_sync(void) {
    static char bytes[64 << 20];
    for (size_t i = 0; i < sizeof bytes; i += 512) bytes[i] = 1;
    int fd = OPEN("f");
    pthread_t thread;
    pthread_create(&thread, 0, prints, 0);
    MUST(write(fd, bytes, sizeof bytes));
    step = 1;
    MUST(fsync(fd));
    pthread_join(thread, 0);
    SAY("after");
}
static void inode_number_comes_back(void) {
    MUST(unlink("old"));
    for (int i = 0; i < 64; i++) {
        char name[20];
        snprintf(name, sizeof name, "../out%d", i);
        MUST(write(OPEN(name), "new", 3));
    }
    MUST(rename("../out0", "old"));
}
static void an_unlinked_file_is_written(void) {
    int fd = OPEN("old");
    MUST(unlink("old"));
    MUST(write(fd, "x", 1));
    OPEN("old");
    MUST(fsync(fd));
}
static void chroots(void) {
    MUST(symlink("/abs", "d/link"));
    if (chroot("d") != 0 && (unshare(CLONE_NEWUSER) != 0 || chroot("d") != 0)) exit(3);
    MUST(chdir("/"));
    MUST(open("/link", O_WRONLY | O_CREAT, 0644));
    MUST(open("/../../up", O_WRONLY | O_CREAT, 0644));
}

#define CASE(name) { #name, name }
int main(int count, char **words) {
    static const struct { const char *name; void (*run)(void); } cases[] = {
        CASE(opens), CASE(opens_by_links), CASE(truncates), CASE(tmpfile_empty), CASE(tmpfile_self), CASE(tmpfile_thread),
        CASE(tmpfile_dev), CASE(tmpfile_pid), CASE(tmpfile_by_own_link), CASE(dups), CASE(dup2_closes),
        CASE(fork_after_open), CASE(vfork_and_exec), CASE(a_mapping_keeps_it_open), CASE(writes), CASE(copies),
        CASE(copies_to_an_emptied_file), CASE(splices), CASE(renames), CASE(names), CASE(allocates), CASE(syncs), CASE(maps),
        CASE(threads), CASE(a_print_during_a_sync), CASE(inode_number_comes_back), CASE(an_unlinked_file_is_written),
        CASE(chroots),
    };
    for (size_t i = 0; count == 2 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(words[1], cases[i].name) == 0) { cases[i].run(); return 0; }
    return 2;
}
