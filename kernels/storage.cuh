// Stored numbers (float32, float16, bfloat16) and the float32 numbers that the kernels calculate with.
//
// No CUDA header is included: NVRTC does not find those of the wheels. Halves are held as 16-bit lanes of 32-bit words,
// never as arrays of 16-bit numbers, which cost a quarter more instructions.
#pragma once

struct Float32 {
    static constexpr int BYTES = 4;
};
struct Float16 {
    static constexpr int BYTES = 2;
};
struct BFloat16 {
    static constexpr int BYTES = 2;
};

#ifdef __CUDACC__
__device__ inline float half_to_float(unsigned short bits) {
    float number;
    asm("cvt.f32.f16 %0, %1;" : "=f"(number) : "h"(bits));
    return number;
}

__device__ inline unsigned pack_halves(float low, float high) {
    unsigned word;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %2, %1;" : "=r"(word) : "f"(low), "f"(high));
#else
    asm("{.reg .b16 l, h; cvt.rn.f16.f32 l, %1; cvt.rn.f16.f32 h, %2; mov.b32 %0, {l, h};}"
        : "=r"(word) : "f"(low), "f"(high));
#endif
    return word;
}
#endif  // the host shim of the tests brings its own

__device__ inline unsigned bfloat_bits(float number) {
    const unsigned bits = __float_as_uint(number);
    // Round to nearest, ties to even; a NaN stays one.
    return number != number ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

__device__ inline unsigned pack_bfloats(float low, float high) {
#if __CUDA_ARCH__ >= 800
    unsigned word;
    asm("cvt.rn.bf16x2.f32 %0, %2, %1;" : "=r"(word) : "f"(low), "f"(high));
    return word;
#else
    return bfloat_bits(low) | bfloat_bits(high) << 16;
#endif
}

constexpr unsigned ALL_LANES = 0xffffffffu;

#define MINUS_INFINITY __uint_as_float(0xff800000u)

__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

// One stored number -----------------------------------------------------------------------------------------------------
__device__ inline float load(Float32, const void* numbers, long long i) {
    return __ldg(static_cast<const float*>(numbers) + i);
}
__device__ inline float load(Float16, const void* numbers, long long i) {
    return half_to_float(__ldg(static_cast<const unsigned short*>(numbers) + i));
}
__device__ inline float load(BFloat16, const void* numbers, long long i) {
    return __uint_as_float(static_cast<unsigned>(__ldg(static_cast<const unsigned short*>(numbers) + i)) << 16);
}

// The two stored numbers of a 32-bit word -------------------------------------------------------------------------------
__device__ inline float2 unpack(Float16, unsigned word) {
    return make_float2(half_to_float(word & 0xffffu), half_to_float(word >> 16));
}
__device__ inline float2 unpack(BFloat16, unsigned word) {
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
}
__device__ inline unsigned pack(Float16, float low, float high) { return pack_halves(low, high); }
__device__ inline unsigned pack(BFloat16, float low, float high) { return pack_bfloats(low, high); }

// Pair i of stored numbers, for example an offset (x, y)
__device__ inline float2 load_pair(Float32, const void* numbers, long long i) {
    return __ldg(static_cast<const float2*>(numbers) + i);
}
template <typename Half>
__device__ float2 load_pair(Half type, const void* numbers, long long i) {
    return unpack(type, __ldg(static_cast<const unsigned*>(numbers) + i));
}

__device__ inline uint4 load16(const char* bytes) { return __ldg(reinterpret_cast<const uint4*>(bytes)); }

// Sixteen bytes of neighbouring channels, summed in float32 -------------------------------------------------------------
template <typename Type>
struct Channels {
    static constexpr int COUNT = 16 / Type::BYTES;
    float sum[COUNT] = {};

    // sum += weight * stored
    __device__ void add(uint4 stored, float weight) {
        const unsigned words[4] = {stored.x, stored.y, stored.z, stored.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) add_word(Type(), i, words[i], weight);
    }

    __device__ uint4 stored() const { return make_uint4(word(Type(), 0), word(Type(), 1), word(Type(), 2), word(Type(), 3)); }

private:
    __device__ void add_word(Float32, int i, unsigned word, float weight) {
        sum[i] = fmaf(weight, __uint_as_float(word), sum[i]);
    }
    template <typename Half>
    __device__ void add_word(Half type, int i, unsigned word, float weight) {
        const float2 numbers = unpack(type, word);
        sum[2 * i] = fmaf(weight, numbers.x, sum[2 * i]);
        sum[2 * i + 1] = fmaf(weight, numbers.y, sum[2 * i + 1]);
    }
    __device__ unsigned word(Float32, int i) const { return __float_as_uint(sum[i]); }
    template <typename Half>
    __device__ unsigned word(Half type, int i) const {
        return pack(type, sum[2 * i], sum[2 * i + 1]);
    }
};
