/* The wall clock of one process, shifted by the nanoseconds that stand in the file $WALL_CLOCK_SHIFT: for LD_PRELOAD.
   The file holds one 64-bit integer and is mapped, so that a test may set the clock at any moment. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;

__attribute__((constructor)) static void map_shift(void) {
    const char *path = getenv("WALL_CLOCK_SHIFT");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) shift = page;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *moment) {
    long status = syscall(SYS_clock_gettime, clock, moment);
    if (status == 0 && clock == CLOCK_REALTIME && shift) {
        int64_t nanoseconds = (int64_t)moment->tv_sec * 1000000000 + moment->tv_nsec + *shift;
        moment->tv_sec = nanoseconds / 1000000000;
        moment->tv_nsec = nanoseconds % 1000000000;
    }
    return (int)status;
}

int gettimeofday(struct timeval *restrict moment, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
    moment->tv_sec = precise.tv_sec;
    moment->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *moment) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (moment) *moment = precise.tv_sec;
    return precise.tv_sec;
}
