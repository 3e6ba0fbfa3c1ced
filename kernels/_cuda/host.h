// CUDA on the host: the threads of a block as fibers, so that every kernel runs, and is tested, without a GPU.
//
// A thread runs until it ends, reaches a barrier or needs its warp; then the next one runs, in an order that the launch
// chooses: by index, reversed, or shuffled anew at every turn.  A kernel that lacks a barrier gives another result under
// some order.  What would hang on a GPU, or mean nothing, ends the launch with a sentence: a barrier that a part of the
// block reaches, threads at two barriers at once, a warp operation without the whole warp, an argument of another size.
// Shared memory holds 0xFF bytes (NaN) when a block begins.
//
// With TG_THREADS the threads are real ones, for ThreadSanitizer, which names the two lines of a race.
// Not emulated: what other blocks see without a fence, rates, occupancy, the rounding of fast intrinsics.
#define TG_HOST 1
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <numeric>
#include <utility>
#ifdef TG_THREADS
#include <pthread.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("tg_shared")))  // one block runs at a time; a section is poisoned whole
#define __syncthreads() tg::barrier(__LINE__)
#define TG_DYN_SHARED(type, name) type* name = reinterpret_cast<type*>(tg::dynamic)
#define tg_shfl_down(v, n) tg::shuffled(v, tg::lane() + (n) < tg::WARP ? tg::self + (n) : tg::self, __LINE__)
#define tg_shfl_xor(v, mask) tg::shuffled(v, tg::self ^ (mask), __LINE__)
#define tg_ballot(p) tg::ballot(p, __LINE__)
#define tg_mma_tf32(c, a, b) tg::mma_tf32(c, a, b, __LINE__)

namespace tg {
struct Dim { unsigned x, y, z; };
}
static tg::Dim blockIdx, blockDim, gridDim;
#ifdef TG_THREADS
static thread_local tg::Dim threadIdx;
#else
static tg::Dim threadIdx;
#endif
inline double tg_infinity() { return __builtin_inf(); }
extern "C" __attribute__((visibility("hidden"))) char __start_tg_shared[], __stop_tg_shared[];  // set by the linker
static char tg_never_empty[16] __attribute__((section("tg_shared"), used));

namespace tg {
const unsigned MOST = 1024, WARP = 32;
static const char* kernel;      // the one that runs
static char message[256];       // why it could not
static char* dynamic;           // shared memory whose size the launch says
static unsigned count;          // threads of a block
static void (*body)(void*);     // one thread of it
static void* body_data;

static bool fail(const char* what, unsigned a = 0, unsigned b = 0, unsigned c = 0) {
    int n = snprintf(message, sizeof message, "%s: ", kernel);
    snprintf(message + n, sizeof message - n, what, a, b, c);
    return false;
}
static void place(unsigned i) {
    threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
}

#ifndef TG_THREADS
// -- threads as fibers --------------------------------------------------------------------------------------------------
static unsigned self;  // the thread that runs

enum State : char { READY, AT_BARRIER, AT_WARP, DONE };
struct Fiber {
    void* stack_pointer;
    char* stack;
    void* fake;  // AddressSanitizer's own stack
    unsigned line;  // where it waits
    State state;
};
const size_t STACK = 1 << 16;
static Fiber fibers[MOST];
static char* spare[MOST];  // stacks without a fiber; one that ended leaves its own to the next, still in the cache
static unsigned spares;
static void* scheduler;
static const void* scheduler_stack;
static size_t scheduler_size;
static void* scheduler_fake;

// Saves what a call must preserve on this stack, and goes on where the other stopped.  swapcontext does the same with a
// system call at every turn.
extern "C" void tg_switch(void** save, void* load);
#if defined(__x86_64__)
__asm__(".text\n.p2align 4\n.globl tg_switch\n.hidden tg_switch\n.type tg_switch,@function\ntg_switch:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n.size tg_switch,.-tg_switch\n");
const int FRAME = 8, RETURN_AT = 6;  // words of a first frame, and which of them is where it begins
#elif defined(__aarch64__)
__asm__(".text\n.p2align 4\n.globl tg_switch\n.hidden tg_switch\n.type tg_switch,%function\ntg_switch:\n"
        "stp x29,x30,[sp,#-160]!\nstp x19,x20,[sp,#16]\nstp x21,x22,[sp,#32]\nstp x23,x24,[sp,#48]\n"
        "stp x25,x26,[sp,#64]\nstp x27,x28,[sp,#80]\nstp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\n"
        "stp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\nmov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
        "ldp x19,x20,[sp,#16]\nldp x21,x22,[sp,#32]\nldp x23,x24,[sp,#48]\nldp x25,x26,[sp,#64]\n"
        "ldp x27,x28,[sp,#80]\nldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\n"
        "ldp d14,d15,[sp,#144]\nldp x29,x30,[sp],#160\nret\n.size tg_switch,.-tg_switch\n");
const int FRAME = 20, RETURN_AT = 1;
#else
#error "the host build switches stacks on x86-64 and aarch64 only"
#endif

#ifdef __SANITIZE_ADDRESS__
static void leaving(void** fake, const void* to, size_t size) { __sanitizer_start_switch_fiber(fake, to, size); }
static void arrived(void* fake, const void** from, size_t* size) { __sanitizer_finish_switch_fiber(fake, from, size); }
#else
static void leaving(void**, const void*, size_t) {}
static void arrived(void*, const void**, size_t*) {}
#endif

static void stop(State state, unsigned line) {
    Fiber& f = fibers[self];
    f.state = state, f.line = line;
    leaving(state == DONE ? nullptr : &f.fake, scheduler_stack, scheduler_size);
    tg_switch(&f.stack_pointer, scheduler);
    arrived(f.fake, nullptr, nullptr);
}
static void barrier(unsigned line) { stop(AT_BARRIER, line); }
static void warp_barrier(unsigned line) { stop(AT_WARP, line); }

static void begin() {
    arrived(nullptr, &scheduler_stack, &scheduler_size);
    body(body_data);
    stop(DONE, 0);
    __builtin_unreachable();
}
static void give_back(Fiber& f) {
    if (f.stack) spare[spares++] = f.stack;
    f.stack = nullptr;
}
static void resume(unsigned i) {
    Fiber& f = fibers[i];
    if (!f.stack) {
        f.stack = spares ? spare[--spares]
                         : (char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (f.stack == MAP_FAILED) abort();
        void** frame = (void**)(f.stack + STACK) - FRAME;
        memset(frame, 0, FRAME * sizeof(void*));
        frame[RETURN_AT] = (void*)begin;
        f.stack_pointer = frame;
    }
    self = i;
    place(i);
    leaving(&scheduler_fake, f.stack, STACK);
    tg_switch(&scheduler, f.stack_pointer);
    arrived(scheduler_fake, nullptr, nullptr);
    if (f.state == DONE) give_back(f);
}

static unsigned long long drawn;  // xorshift64*, Vigna 2016
static unsigned draw(unsigned n) {
    drawn ^= drawn >> 12, drawn ^= drawn << 25, drawn ^= drawn >> 27;
    return unsigned(drawn * 2685821657736338717ull >> 33) % n;
}

// One of the warps that stopped at a warp operation goes on, by the schedule, and may run far ahead of the others; or
// else all that stopped at the barrier.  False where a part is elsewhere.
static bool release(bool& ended, long long schedule) {
    unsigned ready[MOST / WARP], warps = 0;
    for (unsigned w = 0; w < count; w += WARP) {
        unsigned there = 0, end = w + WARP < count ? w + WARP : count;
        for (unsigned i = w; i < end; i++) there += fibers[i].state == AT_WARP;
        if (there && there < WARP) return fail("a warp operation that %u of 32 threads reach", there);
        for (unsigned i = w; there && i < end; i++)
            if (fibers[i].line != fibers[w].line)
                return fail("threads of one warp are at two warp operations, in lines %u and %u", fibers[w].line,
                            fibers[i].line);
        if (there) ready[warps++] = w;
    }
    if (warps) {
        unsigned w = ready[schedule > 0 ? draw(warps) : schedule < 0 ? warps - 1 : 0];
        for (unsigned i = w; i < w + WARP; i++) fibers[i].state = READY;
        return true;
    }
    unsigned waiting = 0, line = 0;
    for (unsigned i = 0; i < count; i++) {
        if (fibers[i].state == DONE) continue;
        if (waiting++ && fibers[i].line != line)
            return fail("a divergent barrier: threads wait in line %u and in line %u", line, fibers[i].line);
        line = fibers[i].line;
    }
    if (waiting && waiting < count)
        return fail("a divergent barrier: %u threads wait in line %u, %u have ended", waiting, line, count - waiting);
    ended = !waiting;
    for (unsigned i = 0; waiting && i < count; i++) fibers[i].state = READY;
    return true;
}

static bool run_block(long long schedule) {
    static unsigned order[MOST];
    drawn = 0x9e3779b97f4a7c15ull * (unsigned long long)(schedule + 1) | 1;
    for (unsigned i = 0; i < count; i++) {
        fibers[i].state = READY;
        order[i] = schedule < 0 ? count - 1 - i : i;
    }
    bool well = true;
    for (bool ended = false; well && !ended; well = release(ended, schedule)) {
        for (unsigned i = count; schedule > 0 && i > 1; i--) {
            unsigned j = draw(i), kept = order[i - 1];
            order[i - 1] = order[j], order[j] = kept;
        }
        for (unsigned k = 0; k < count; k++)
            if (fibers[order[k]].state == READY) resume(order[k]);
    }
    for (unsigned i = 0; i < count; i++) give_back(fibers[i]);  // of a failed one: nothing on it needs an end
    return well;
}
#else
// -- real threads -------------------------------------------------------------------------------------------------------
static thread_local unsigned self;

[[noreturn]] static void die(const char* what, unsigned line) {  // others wait for ever, and cannot be called back
    fprintf(stderr, "%s: %s, line %u\n", kernel, what, line);
    abort();
}
struct Meeting {
    pthread_barrier_t all;
    unsigned passed[MOST], most, least;  // barriers that each thread has reached; most of one, least of an ended one
    void open(unsigned n) {
        pthread_barrier_init(&all, nullptr, n);
        memset(passed, 0, sizeof passed);
        most = 0, least = ~0u;
    }
    void wait(unsigned line) {
        unsigned mine = ++passed[self], known = __atomic_load_n(&most, __ATOMIC_SEQ_CST);
        while (known < mine && !__atomic_compare_exchange_n(&most, &known, mine, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
        if (__atomic_load_n(&least, __ATOMIC_SEQ_CST) < mine) die("a divergent barrier: other threads have ended", line);
        pthread_barrier_wait(&all);
    }
    void leave() {
        unsigned mine = passed[self], known = __atomic_load_n(&least, __ATOMIC_SEQ_CST);
        while (known > mine && !__atomic_compare_exchange_n(&least, &known, mine, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
        if (__atomic_load_n(&most, __ATOMIC_SEQ_CST) > mine) die("a divergent barrier: others wait where a thread has ended", 0);
    }
    void close() { pthread_barrier_destroy(&all); }
};
static Meeting of_block, of_warp[MOST / WARP];
static void barrier(unsigned line) { of_block.wait(line); }
static void warp_barrier(unsigned line) { of_warp[self / WARP].wait(line); }

static void* run_thread(void* i) {
    self = unsigned((size_t)i);
    place(self);
    body(body_data);
    of_warp[self / WARP].leave();
    of_block.leave();
    return nullptr;
}
static bool run_block(long long) {
    static pthread_t threads[MOST];
    of_block.open(count);
    for (Meeting& m : of_warp) m.open(WARP);
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], nullptr, run_thread, (void*)(size_t)i)) die("no more threads", 0);
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], nullptr);
    of_block.close();
    for (Meeting& m : of_warp) m.close();
    return true;
}
#endif

// -- warps --------------------------------------------------------------------------------------------------------------
static unsigned turns[MOST];    // warp operations that each thread has begun
const size_t SLOT = 24;         // bytes that it can hand over
static char slots[2][MOST][SLOT];  // what it hands over; two, in turn, so that one barrier an operation is enough

inline unsigned lane() { return self % WARP; }

template <class V> inline unsigned hand_over(V v, unsigned line) {
    static_assert(sizeof(V) <= SLOT, "more than a thread can hand over");
    unsigned turn = turns[self]++ & 1;
    memcpy(slots[turn][self], &v, sizeof v);
    warp_barrier(line);
    return turn;
}
template <class V> inline V shuffled(V v, unsigned from, unsigned line) {
    static_assert(sizeof(V) <= 8, "a shuffle moves at most 8 bytes");
    unsigned turn = hand_over(v, line);
    if (from / WARP == self / WARP)
        memcpy(&v, slots[turn][from], sizeof v);
    else
        memset(&v, 0xff, sizeof v);  // of another warp: undefined
    return v;
}
inline unsigned ballot(bool p, unsigned line) {
    unsigned turn = hand_over(p, line), bits = 0;
    for (unsigned i = 0; i < WARP; i++) bits |= unsigned(slots[turn][self - lane() + i][0] != 0) << i;
    return bits;
}

// -- tensor cores -------------------------------------------------------------------------------------------------------
template <class To, class From> inline To as(From x) {  // the same bits
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline float rounded(float x) {  // a carry goes on into the exponent: what is too large becomes infinite
    return x - x == x - x ? as<float>((as<unsigned>(x) + 0x1000) & 0xffffe000) : x;  // NaN and infinite ones stay
}
// Terms are added in order, rounded to nearest: a GPU may add in another order, and truncate.  An entry that was not
// rounded, of which a GPU would drop some bits, counts as NaN.
inline void mma_tf32(float (&c)[4], const float (&a)[4], const float (&b)[2], unsigned line) {
    struct Part { float a[4], b[2]; } mine, of[WARP];
    for (int i = 0; i < 4; i++) mine.a[i] = as<unsigned>(a[i]) & 0x1fff ? NAN : a[i];
    for (int i = 0; i < 2; i++) mine.b[i] = as<unsigned>(b[i]) & 0x1fff ? NAN : b[i];
    unsigned turn = hand_over(mine, line), group = lane() / 4, member = lane() % 4;
    memcpy(of, slots[turn][self - lane()], sizeof of);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 8; k++)  // products of two rounded numbers are exact
            c[i] += of[4 * group + k % 4].a[i / 2 + k / 4 * 2] * of[4 * (2 * member + i % 2) + k % 4].b[k / 4];
}

// -- a launch -----------------------------------------------------------------------------------------------------------
struct Launch {  // launcher.py lays it out
    unsigned grid[3], block[3];
    size_t shared;       // bytes of dynamic shared memory
    long long schedule;  // 0: by index; negative: reversed; positive: shuffled, with this seed
    long long only;      // the number of a block that runs alone, or -1
    size_t given;        // arguments
    const size_t* sizes;
    void** values;
};

// Every shared array, and with the sanitizers the red zones between them, past their checks.
#ifdef __SANITIZE_ADDRESS__
__attribute__((no_sanitize("address"))) static void poison() {
    for (volatile char* p = __start_tg_shared; p < __stop_tg_shared; p++) *p = char(0xff);
}
#else
static void poison() { memset(__start_tg_shared, 0xff, __stop_tg_shared - __start_tg_shared); }
#endif

static size_t stride(size_t blocks, long long schedule) {  // one that visits all of them, in an order without a pattern
    size_t by = (0x9e3779b97f4a7c15ull * (unsigned long long)schedule >> 20) % blocks + 1;
    while (std::gcd(by, blocks) != 1) by++;
    return by;
}

static bool run(const Launch& launch) {
    const unsigned *grid = launch.grid, *block = launch.block;
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
    count = block[0] * block[1] * block[2];
    size_t blocks = (size_t)grid[0] * grid[1] * grid[2], at = 0;
    size_t by = launch.schedule > 0 ? stride(blocks, launch.schedule) : 1;
    if (posix_memalign((void**)&dynamic, 16, launch.shared ? launch.shared : 1)) abort();
    bool well = true;
    for (size_t k = 0; k < blocks && well; k++, at = (at + by) % blocks) {
        size_t i = launch.only >= 0 ? launch.only : launch.schedule < 0 ? blocks - 1 - k : at;
        blockIdx = {unsigned(i % grid[0]), unsigned(i / grid[0] % grid[1]), unsigned(i / grid[0] / grid[1])};
        memset(turns, 0, sizeof turns);
        memset(dynamic, 0xff, launch.shared);
        poison();
        well = run_block(launch.schedule);
        if (launch.only >= 0) break;
    }
    free(dynamic);
    return well;
}

template <class... A> struct Bound {  // a kernel on its arguments
    void (*function)(A...);
    void** values;
    template <size_t... I> void thread(std::index_sequence<I...>) { function(*(A*)values[I]...); }
    static void one(void* bound) { ((Bound*)bound)->thread(std::index_sequence_for<A...>()); }
};

template <class... A> const char* launched(const char* name, void (*f)(A...), const Launch& launch, unsigned most) {
    const size_t wanted[] = {sizeof(A)..., 0}, n = sizeof...(A);
    kernel = name;
    Bound<A...> bound = {f, launch.values};
    body = Bound<A...>::one, body_data = &bound;
    unsigned threads = launch.block[0] * launch.block[1] * launch.block[2];
    bool well = launch.given == n || fail("it takes %u arguments and was given %u", n, launch.given);
    for (size_t i = 0; i < n && well; i++)
        well = launch.sizes[i] == wanted[i] ||
               fail("argument %u is %u bytes wide, and was given as %u", i, wanted[i], launch.sizes[i]);
    well = well && (threads <= most || fail("a block of %u threads; at most %u were declared", threads, most));
    return well && run(launch) ? nullptr : message;
}
}  // namespace tg

inline float tg_tf32(float x) { return tg::rounded(x); }

#define TG_KERNEL(name, threads, ...)                                 \
    static void name(__VA_ARGS__);                                    \
    extern "C" const char* launch_##name(const tg::Launch* launch) {  \
        return tg::launched(#name, name, *launch, threads);           \
    }                                                                 \
    static void name(__VA_ARGS__)
#define TG_KERNEL_OF(blocks, ...) TG_KERNEL(__VA_ARGS__)
