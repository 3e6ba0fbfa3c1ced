// Pooling and its adjoints: a thread for each entry of the output, which gathers, so that no additions are atomic.
//
// Traffic is all the cost: every window entry read once, from a cache where windows overlap, and every output written
// once; arithmetic is an addition or comparison for each.  The adjoint of max pooling finds the largest entry of every
// window that covers its pixel again, size times size comparisons, rather than keep where it was.  Channels are
// innermost: a warp reads neighbours.  A block of at most 256 threads, eight of which fill a multiprocessor, takes a
// stretch of one line of pixels, so that the divisions that find a thread's place are of 32 bits.
#define THREADS 256

struct Pool {  // cuda.py fills it; pairs are (rows, columns)
    int x_hw[2], y_hw[2], size[2], stride[2], c;
};
struct Pixel {
    int image, row, column, channel;
    index_t entry;
    bool inside;
};

// Where this thread is in images whose sizes are hw.
__device__ __forceinline__ Pixel here(const int (&hw)[2], int c) {
    const int length = hw[1] * c, stretches = (length + int(blockDim.x) - 1) / int(blockDim.x);
    const int line = int(blockIdx.x) / stretches, image = line / hw[0];
    const int at = (int(blockIdx.x) - line * stretches) * int(blockDim.x) + int(threadIdx.x), column = at / c;
    return {image, line - image * hw[0], column, at - column * c, index_t(line) * length + at, at < length};
}
__device__ __forceinline__ index_t entry(int image, int row, int column, int channel, const int (&hw)[2], int c) {
    return ((index_t(image) * hw[0] + row) * hw[1] + column) * c + channel;
}
// The first entry of the window of an output.
__device__ __forceinline__ index_t corner(const Pixel& y, const Pool& v) {
    return entry(y.image, y.row * v.stride[0], y.column * v.stride[1], y.channel, v.x_hw, v.c);
}

// The windows along an axis that cover the pixel at `at`: first, ..., stop - 1.
struct Cover {
    int first, stop;
};
__device__ __forceinline__ Cover covering(int at, const Pool& v, int axis) {
    return {at < v.size[axis] ? 0 : (at - v.size[axis]) / v.stride[axis] + 1,
            tg_min(at / v.stride[axis] + 1, v.y_hw[axis])};
}

// Which entry of a window is the first largest: 0, 1, ... in raster order; NaN is largest.
__device__ __forceinline__ int largest(const T* corner, const Pool& v) {
    int where = 0;
    T best = *corner;
    for (int a = 0; a < v.size[0]; a++) {
        const T* at = corner + index_t(a) * v.x_hw[1] * v.c;
        for (int b = 0; b < v.size[1]; b++, at += v.c)
            if (*at > best || (*at != *at && best == best)) best = *at, where = a * v.size[1] + b;
    }
    return where;
}

TG_KERNEL(pool2d, THREADS, const T* x, T* y, T factor, const __grid_constant__ Pool v) {
    const Pixel p = here(v.y_hw, v.c);
    if (!p.inside) return;
    const T* begin = x + corner(p, v);
    T sum = 0;
    for (int a = 0; a < v.size[0]; a++)
        for (int b = 0; b < v.size[1]; b++) sum += begin[(index_t(a) * v.x_hw[1] + b) * v.c];
    y[p.entry] = sum * factor;
}

TG_KERNEL(pool2d_grad, THREADS, const T* g, T* g_x, T factor, const __grid_constant__ Pool v) {
    const Pixel p = here(v.x_hw, v.c);
    if (!p.inside) return;
    const Cover rows = covering(p.row, v, 0), columns = covering(p.column, v, 1);
    T sum = 0;
    for (int a = rows.first; a < rows.stop; a++)
        for (int b = columns.first; b < columns.stop; b++)
            sum += factor * g[entry(p.image, a, b, p.channel, v.y_hw, v.c)];
    g_x[p.entry] = sum;
}

TG_KERNEL(max_pool2d, THREADS, const T* x, const T* values, T* y, const __grid_constant__ Pool v) {
    const Pixel p = here(v.y_hw, v.c);
    if (!p.inside) return;
    const index_t begin = corner(p, v);
    const int where = largest(x + begin, v), row = where / v.size[1], column = where - row * v.size[1];
    y[p.entry] = values[begin + (index_t(row) * v.x_hw[1] + column) * v.c];
}

TG_KERNEL(max_pool2d_grad, THREADS, const T* x, const T* g, T* g_v, const __grid_constant__ Pool v) {
    const Pixel p = here(v.x_hw, v.c);
    if (!p.inside) return;
    const Cover rows = covering(p.row, v, 0), columns = covering(p.column, v, 1);
    T sum = 0;
    for (int a = rows.first; a < rows.stop; a++)
        for (int b = columns.first; b < columns.stop; b++) {
            const int row = a * v.stride[0], column = b * v.stride[1];
            const int mine = (p.row - row) * v.size[1] + p.column - column;
            if (largest(x + entry(p.image, row, column, p.channel, v.x_hw, v.c), v) == mine)
                sum += g[entry(p.image, a, b, p.channel, v.y_hw, v.c)];
        }
    g_v[p.entry] = sum;
}
