// Sampling with every number computed once: a block walks one image through all pixels, colours and layers.
//
// The program is the CPU's (_program.py): steps that each make one colour's channels of one value at one pixel.  A
// thread makes a channel, and a barrier ends a step.  No launch lies in between: PixelCNN(h=64, 7 blocks) has some 30
// steps a pixel, 24,000 an image, which as launches would take longer than the arithmetic.
//
// 2 operations for each live weight and pixel, 0.44 GFLOP an image of 28x28.  Traffic: all weights (1.1 MB in float32)
// from the L2 cache at every pixel, 0.9 GB an image; values stay in the L1 cache.  The limit is neither but waiting: a
// sum runs through its taps and channels one after another, in the order of conv.cu, so that equal bits come out.
// Unrolled by 8, so that as many weights are on their way.  128 threads: as many as a layer has channels.
#include "formulas.h"

#define THREADS 128

enum Kind { CONV, RELU, ADD };

struct Value {  // a ring of pixels: rows x columns of them, from entry `at` of an image's room
    int at, rows, columns, channels;
};
struct Step {  // `Step` of _program.py, and where its weights begin: those of a tap lie `outputs` apart from c to c
    int kind, source, other, to, column, columns, depth, first_tap, taps, adds, ends, weights, outputs, bias;
};
struct Tap {  // from the pixel; and where its matrix begins
    int row, column, matrix;
};
struct Network {  // cuda.py fills it
    int height, width, colors, values, size, per_entry, logits, unused;  // size: entries of all values of an image
    T scale, shift;
};

__device__ __forceinline__ T* place(T* room, const Value& v, int i, int j) {
    return room + v.at + (i % v.rows * v.columns + j % v.columns) * v.channels;
}

// Channel `column` + o of what a step makes at pixel (i, j).
__device__ __forceinline__ T made(const Step& step, const Value* values, const Tap* taps, const T* weights, T* room,
                                  int i, int j, int o, int width) {
    const Value& source = values[step.source];
    const int channel = step.column + o;
    if (step.kind == RELU) {
        const T x = place(room, source, i, j)[channel];
        return x < 0 ? T(0) : x;
    }
    if (step.kind == ADD) return place(room, source, i, j)[channel] + place(room, values[step.other], i, j)[channel];
    T sum = 0;
    for (int e = step.first_tap; e < step.first_tap + step.taps; e++) {
        const int row = i + taps[e].row, column = j + taps[e].column;
        if (row < 0 || column < 0 || column >= width) continue;
        const T *x = place(room, source, row, column), *w = weights + step.weights + taps[e].matrix + o;
#pragma unroll 8
        for (int c = 0; c < step.depth; c++) sum = fma(x[c], w[index_t(c) * step.outputs], sum);
    }
    if (step.adds) sum = place(room, values[step.to], i, j)[channel] + sum;
    return step.ends ? sum + weights[step.bias + o] : sum;
}

// What is given, or else a draw by the logits in row (per_entry,); part: the probabilities before their sum.
__device__ __forceinline__ T drawn(T given, const T* row, const double* part, int per_entry, double u) {
    if (given >= 0) return given;
    if (per_entry == 1) return u < sigmoid_of(row[0]);
    double total = 0, below = 0;
    for (int k = 0; k < per_entry; k++) total += part[k];
    for (int k = 0; k < per_entry; k++) {
        below += part[k];
        if (below > u * total) return T(k);
    }
    return 0;
}

// x, y (N, height, width, colors); u (entries, N); seen (N, height, width, channels of the logits), if `logits`; first
// (colors + 1,); rooms (N, size); parts (N, per_entry), the probabilities of an entry's categories before their sum.
TG_KERNEL(causal_sample, THREADS, const T* x, const U* u, T* y, T* seen, const T* weights, const int* first,
          const Step* steps, const Value* values, const Tap* taps, T* rooms, double* parts,
          const __grid_constant__ Network net) {
    const index_t image = blockIdx.x;
    T* room = rooms + image * net.size;
    double* part = parts + image * net.per_entry;
    for (int i = 0; i < net.height; i++)
        for (int j = 0; j < net.width; j++)
            for (int color = 0; color < net.colors; color++) {
                for (int s = first[color]; s < first[color + 1]; s++) {
                    const Step& step = steps[s];
                    T* to = place(room, values[step.to], i, j) + step.column;
                    for (int o = threadIdx.x; o < step.columns; o += THREADS)
                        to[o] = made(step, values, taps, weights, room, i, j, o, net.width);
                    __syncthreads();
                }
                const int entry = (i * net.width + j) * net.colors + color;
                const index_t at = image * net.height * net.width * net.colors + entry;
                const T* row = place(room, values[net.values - 1], i, j) + color * net.per_entry;
                T highest = row[0];
                for (int k = 1; k < net.per_entry; k++) highest = row[k] > highest ? row[k] : highest;
                for (int k = threadIdx.x; k < net.per_entry; k += THREADS) {
                    part[k] = exp(double(row[k]) - double(highest));
                    if (net.logits) seen[at * net.per_entry + k] = row[k];
                }
                __syncthreads();
                if (threadIdx.x == 0) {
                    const T entry_drawn = drawn(x[at], row, part, net.per_entry, u[index_t(entry) * gridDim.x + image]);
                    y[at] = entry_drawn;
                    place(room, values[0], i, j)[color] = entry_drawn * net.scale + net.shift;
                }
                __syncthreads();
            }
}
