// Bilinear resizes of many maps of one size, one or two after the other, at a few rows of the result.
//
// A resized number is a weighted sum of 3 x 3 neighbours, the same for every map. A thread works on PIXELS neighbouring
// pixels of a row and goes through the maps: a window of 3 x WINDOW numbers serves all of them. Neighbouring threads
// read neighbouring numbers, so that four bytes a thread fill the lines that they load.
//
// Constants: VALUE (storage type of the maps), WINDOW (columns that PIXELS neighbours reach together).
#pragma once

#include "storage.cuh"

constexpr int PIXELS = 4;

struct Resize {
    const void* maps;        // (maps, height, width), strides in numbers
    const float4* rows;      // (output rows): first row of three, their weights
    const float4* columns;   // (output width): first column of three, their weights
    long long map_stride, row_stride;
    int maps_count, width;   // width at least WINDOW, height at least 3
    int output_rows, output_width;
    int output_stride;       // distance of output rows, a multiple of PIXELS
};

struct Footprint {
    long long at;  // the window's first number, in the first map
    float row_weights[3];
    float column_weights[PIXELS][WINDOW];
};

// Of pixels x to x + PIXELS - 1 of output row y; those beyond the output's width repeat its last
__device__ inline Footprint footprint(const Resize& a, int y, int x) {
    const float4 row = __ldg(a.rows + y);
    float4 taps[PIXELS];
    int first = a.width - WINDOW;
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
        taps[p] = __ldg(a.columns + min(x + p, a.output_width - 1));
        first = min(first, static_cast<int>(taps[p].x));
    }
    Footprint f = {static_cast<int>(row.x) * a.row_stride + first, {row.y, row.z, row.w}, {}};
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
        const int offset = static_cast<int>(taps[p].x) - first;
#pragma unroll
        for (int n = 0; n < WINDOW; ++n) {
            f.column_weights[p][n] =
                n == offset ? taps[p].y : n == offset + 1 ? taps[p].z : n == offset + 2 ? taps[p].w : 0.0f;
        }
    }
    return f;
}

__device__ inline void resized(const Resize& a, const Footprint& f, int map, float (&pixels)[PIXELS]) {
    const long long at = f.at + map * a.map_stride;
    float columns[WINDOW];
#pragma unroll
    for (int n = 0; n < WINDOW; ++n) {
        columns[n] = f.row_weights[0] * load(VALUE(), a.maps, at + n);
        columns[n] = fmaf(f.row_weights[1], load(VALUE(), a.maps, at + a.row_stride + n), columns[n]);
        columns[n] = fmaf(f.row_weights[2], load(VALUE(), a.maps, at + 2 * a.row_stride + n), columns[n]);
    }
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
        pixels[p] = f.column_weights[p][0] * columns[0];
#pragma unroll
        for (int n = 1; n < WINDOW; ++n) pixels[p] = fmaf(f.column_weights[p][n], columns[n], pixels[p]);
    }
}
