// CUDA as far as kernels/ needs it, on the CPU: the same sources, compiled by g++ and run one block at a time.
//
// Each CUDA thread is a fiber (ucontext). A shuffle writes the lane's number, switches to the next thread of the block,
// and reads when all have written. Lanes of a warp that do not all reach the same shuffle are reported.
//
// -DKERNEL="ms_deform_attn.cu" -DENTRY=ms_deform_attn and the kernel's constants, as NVRTC gets them.
//
// Compiled for every kernel and its constants: C's headers take a tenth of the time of C++'s.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <bit>

#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other

struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float number) { return std::bit_cast<unsigned>(number); }
#define __expf expf  // glibc declares a function of this name
inline float __fdividef(float x, float y) { return x / y; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }

[[noreturn]] static void fail(const char* what) {
    fprintf(stderr, "host shim: %s\n", what);
    abort();
}

template <typename T>
T __ldg(const T* address) {
    if (reinterpret_cast<uintptr_t>(address) % alignof(T)) fail("misaligned load");
    return *address;
}

// Twins of the conversions that are PTX on the device
inline float half_to_float(unsigned short bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }
inline unsigned pack_halves(float low, float high) {
    const auto bits = [](float x) { return std::bit_cast<unsigned short>(static_cast<_Float16>(x)); };
    return bits(low) | static_cast<unsigned>(bits(high)) << 16;
}

struct Thread {
    ucontext_t context;
    char* stack;
    int shuffles, barriers;
    bool done;
};
struct Warp { uint64_t slots[2][32]; };

static constexpr size_t STACK = 256 << 10;
static constexpr unsigned MAX_THREADS = 1024;  // of a block
static Thread threads[MAX_THREADS];
static Warp warps[MAX_THREADS / 32];
static ucontext_t scheduler;
static unsigned current;
static const void* arguments;
static uint3 threadIdx, blockIdx, blockDim, gridDim;

template <typename T>
T exchange(T value, int source) {
    static_assert(sizeof(T) <= 8);
    // Two sets of slots in turn: a lane reads one before any lane can write it again.
    const int turn = threads[current].shuffles++ % 2;
    uint64_t* slots = warps[current / 32].slots[turn];
    memcpy(&slots[current % 32], &value, sizeof(T));
    swapcontext(&threads[current].context, &scheduler);
    memcpy(&value, &slots[source], sizeof(T));
    return value;
}

template <typename T>
T __shfl_sync(unsigned, T value, int source, int width = 32) {
    const int lane = current % 32;
    return exchange(value, lane / width * width + source % width);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return exchange(value, current % 32 ^ mask);
}

[[maybe_unused]] static void __syncthreads() {
    const int mine = ++threads[current].barriers;
    for (bool behind = true; behind;) {
        swapcontext(&threads[current].context, &scheduler);
        behind = false;
        for (unsigned i = 0; i < blockDim.x; ++i) behind |= !threads[i].done && threads[i].barriers < mine;
    }
}

#include KERNEL

static void run_thread() {
    ENTRY(*static_cast<const Arguments*>(arguments));
    threads[current].done = true;
}

static void run_block() {
    for (unsigned i = 0; i < blockDim.x; ++i) {
        Thread& thread = threads[i];
        if (!thread.stack) thread.stack = static_cast<char*>(malloc(STACK));
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack;
        thread.context.uc_stack.ss_size = STACK;
        thread.context.uc_link = &scheduler;
        makecontext(&thread.context, run_thread, 0);
        thread.shuffles = thread.barriers = 0;
        thread.done = false;
    }
    for (bool running = true; running;) {
        running = false;
        for (current = 0; current < blockDim.x; ++current) {
            Thread& thread = threads[current];
            if (thread.done) continue;
            threadIdx.x = current;
            swapcontext(&scheduler, &thread.context);
            running |= !thread.done;
        }
        for (unsigned i = 0; i < blockDim.x; ++i) {
            const Thread &lane = threads[i], &first = threads[i / 32 * 32];
            if (lane.done != first.done || lane.shuffles != first.shuffles) fail("the lanes of a warp parted at a shuffle");
        }
    }
}

// As cuLaunchKernel calls it: a kernel with one argument, a structure passed by value
extern "C" void launch(unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, void** parameters) {
    arguments = parameters[0];
    gridDim = {grid_x, grid_y, grid_z};
    blockDim = {block_x, 1, 1};
    if (block_x > MAX_THREADS) fail("too many threads in a block");
    for (blockIdx.z = 0; blockIdx.z < grid_z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid_y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid_x; ++blockIdx.x) run_block();
}
