// Bilinear sampling of channels-last maps at float32 positions, zeros outside, by small groups of lanes.
//
// LANES neighbouring lanes hold the channels of one sample, sixteen bytes each. Each lane works out the corners of one
// sample in LANES and hands them to the others by shuffles: coordinates are calculated once, not once per channel.
#pragma once

#include "storage.cuh"

constexpr unsigned WARP = 0xffffffffu;

// Two neighbours on one axis, `first` and the next, and their bilinear weights. Both lie inside wherever the size is at
// least two: at a border the pair moves in by one and the neighbour that was outside gets the weight zero. That way
// every sample of a level has the same distance between its corners.
struct Neighbours {
    int first;
    float weight0, weight1;
};

// Position whole + part on an axis of `size` pixels (pixel centres at 0, 1, ...). NaN counts as outside.
__device__ inline Neighbours neighbours(int whole, float part, int size) {
    constexpr float FAR = 1e8f;  // within int, beyond any image; fmaxf(NaN, -FAR) is -FAR
    part = fminf(fmaxf(part, -FAR), FAR);
    const float below = floorf(part);
    const int i = whole + static_cast<int>(below);
    const float weight0 = i >= 0 && i < size ? 1.0f - (part - below) : 0.0f;
    const float weight1 = i >= -1 && i < size - 1 ? part - below : 0.0f;
    const bool before = i < 0, after = i > size - 2;
    return {min(max(i, 0), max(size - 2, 0)), before ? weight1 : after ? 0.0f : weight0,
            before ? 0.0f : after ? weight0 : weight1};
}

// The four corners of one sample: the first one's distance in bytes from the map's beginning, and their weights
struct Corners {
    unsigned offset;
    float weight00, weight01, weight10, weight11;
};

__device__ inline Corners corners(Neighbours y, Neighbours x, int width, unsigned start, unsigned pixel, float weight) {
    return {start + (y.first * width + x.first) * pixel,
            weight * y.weight0 * x.weight0, weight * y.weight0 * x.weight1,
            weight * y.weight1 * x.weight0, weight * y.weight1 * x.weight1};
}

// The corners that the lane `owner` of this group of LANES lanes worked out
template <int LANES>
__device__ Corners shared(Corners own, int owner) {
    return {__shfl_sync(WARP, own.offset, owner, LANES),
            __shfl_sync(WARP, own.weight00, owner, LANES), __shfl_sync(WARP, own.weight01, owner, LANES),
            __shfl_sync(WARP, own.weight10, owner, LANES), __shfl_sync(WARP, own.weight11, owner, LANES)};
}

// sum += the sample; `right` and `down` are the distances of its corners in bytes
template <typename Type>
__device__ void add_sample(Channels<Type>& sum, const char* map, Corners at, unsigned right, unsigned down) {
    const char* corner = map + at.offset;
    const uint4 stored00 = load16(corner), stored01 = load16(corner + right);
    const uint4 stored10 = load16(corner + down), stored11 = load16(corner + (down + right));
    sum.add(stored00, at.weight00);
    sum.add(stored01, at.weight01);
    sum.add(stored10, at.weight10);
    sum.add(stored11, at.weight11);
}
