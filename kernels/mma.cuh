// Products of small matrices that a warp holds in its registers: C (16 x 8, float32) += A (16 x 16) B (16 x 8).
//
// Lane 4 g + t holds, as pairs of neighbouring numbers in 32-bit words (PTX ISA, "Matrix Fragments for mma.m16n8k16"):
//   a[0], a[1]  of A's rows g and g + 8, columns 2 t and 2 t + 1; a[2], a[3] of columns 2 t + 8 and 2 t + 9
//   b[0], b[1]  of B's column g, rows 2 t and 2 t + 1; rows 2 t + 8 and 2 t + 9
//   c[0..1], c[2..3]  of C's rows g and g + 8, columns 2 t and 2 t + 1
#pragma once

#include "storage.cuh"

// By shuffles: for processors whose tensor cores do not know the type, and for the tests on a CPU
template <typename Half>
__device__ void multiply_by_shuffles(Half type, float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    const int lane = threadIdx.x % 32, row = lane / 4 * 4, column = lane % 4 * 8;
#pragma unroll
    for (int t = 0; t < 4; ++t)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float2 upper = unpack(type, __shfl_sync(ALL_LANES, a[2 * half], row + t));
            const float2 lower = unpack(type, __shfl_sync(ALL_LANES, a[2 * half + 1], row + t));
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const float2 right = unpack(type, __shfl_sync(ALL_LANES, b[half], column + 4 * n + t));
                c[n] = fmaf(upper.y, right.y, fmaf(upper.x, right.x, c[n]));
                c[n + 2] = fmaf(lower.y, right.y, fmaf(lower.x, right.x, c[n + 2]));
            }
        }
}

__device__ inline void multiply(Float16 type, float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif defined(__CUDACC__)
#pragma unroll
    for (int half = 0; half < 2; ++half)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#else
    multiply_by_shuffles(type, c, a, b);
#endif
}

__device__ inline void multiply(BFloat16 type, float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    multiply_by_shuffles(type, c, a, b);
#endif
}

// b of sixteen rows of shared memory that begin at `first`, `pitch` 32-bit words apart: their words `word` to word + 3
__device__ inline void load_b(unsigned (&b)[2], const unsigned* first, int pitch, int word) {
    const int lane = threadIdx.x % 32;
#ifdef __CUDACC__
    const unsigned* row = first + lane % 16 * pitch + word;  // of the upper half of the warp nothing is read
    asm("{.reg .u64 generic; .reg .u32 place; cvta.to.shared.u64 generic, %2; cvt.u32.u64 place, generic;"
        " ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [place];}"
        : "=r"(b[0]), "=r"(b[1]) : "l"(row) : "memory");
#else
    const int column = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
        const unsigned* row = first + (8 * half + 2 * t) * pitch + word + column / 2;
        const int shift = column % 2 * 16;
        b[half] = (row[0] >> shift & 0xffffu) | (row[pitch] >> shift & 0xffffu) << 16;
    }
#endif
}
