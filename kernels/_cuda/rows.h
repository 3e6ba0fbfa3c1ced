// Sums and extremes of rows, of which a block has several: x (outer, reduced, inner) to (outer, parts, inner).
//
// A block of at most 256 threads is (x, y, z): neighbours in x take neighbouring inner entries, y the reduced ones, z rows
// of outer, so that accesses are neighbours whichever axis is long.  Then the y's are combined in halves through shared
// memory.  How, follows from the shape alone (rows.py), so the bits depend neither on the device nor on the schedule.
#define THREADS 256

struct Shape {  // rows.py fills it
    index_t outer, reduced, inner, parts, per_part, columns;  // columns: blocks side by side along inner
};

// What a thread works at: entry i of row o, and the reduced entries from, from + blockDim.y, ... below end.
struct Place {
    index_t o, part, i, from, end;
    bool inside;
};

__device__ __forceinline__ Place place_in(const Shape& s) {
    // blocks are fewer than 2^31, and divisions of 32 bits a fraction of those of 64
    const unsigned columns = unsigned(s.columns), parts = unsigned(s.parts);
    const unsigned unit = blockIdx.x / columns, line = unit / parts;
    Place p;
    p.i = index_t(blockIdx.x - unit * columns) * blockDim.x + threadIdx.x;
    p.part = unit - line * parts;
    p.o = index_t(line) * blockDim.z + threadIdx.z;
    p.inside = p.o < s.outer && p.i < s.inner;
    p.from = p.part * s.per_part + threadIdx.y;
    p.end = p.inside ? tg_min((p.part + 1) * s.per_part, s.reduced) : 0;
    return p;
}

template <class A> struct Plus {
    static __device__ __forceinline__ A init() { return 0; }
    static __device__ __forceinline__ A step(A a, A b) { return a + b; }
};
template <class A> struct Larger {
    static __device__ __forceinline__ A init() { return A(-tg_infinity()); }
    static __device__ __forceinline__ A step(A a, A b) { return a >= b || a != a ? a : b; }  // a NaN stays
};
template <class A> struct Smaller {
    static __device__ __forceinline__ A init() { return A(tg_infinity()); }
    static __device__ __forceinline__ A step(A a, A b) { return a <= b || a != a ? a : b; }
};

// What `term` makes of the reduced entries of a place, combined in four chains, for four loads under way.
template <class F, class A, class L> __device__ __forceinline__ A along(const Place& p, L term) {
    const index_t by = blockDim.y;
    A a = F::init(), b = a, c = a, d = a;
    index_t r = p.from;
    for (; r + 3 * by < p.end; r += 4 * by) {
        const A u = A(term(r)), v = A(term(r + by)), w = A(term(r + 2 * by)), x = A(term(r + 3 * by));
        a = F::step(a, u), b = F::step(b, v), c = F::step(c, w), d = F::step(d, x);
    }
    for (; r < p.end; r += by) a = F::step(a, A(term(r)));
    return F::step(F::step(a, b), F::step(c, d));
}

// The values of all threads with one x and z, combined; every one of them gets the result.
template <class F, class A> __device__ __forceinline__ A across(A mine, A* shared) {
    const unsigned by = blockDim.y, t = (threadIdx.z * by + threadIdx.y) * blockDim.x + threadIdx.x;
    shared[t] = mine;
    __syncthreads();
    for (unsigned half = by / 2; half > 0; half /= 2) {
        if (threadIdx.y < half) shared[t] = F::step(shared[t], shared[t + half * blockDim.x]);
        __syncthreads();
    }
    const A whole = shared[t - threadIdx.y * blockDim.x];
    __syncthreads();
    return whole;
}

// The entries of a row, as they are; V is the type they are read in.
template <class V> struct Entry {
    const V* row;
    index_t step;
    __device__ __forceinline__ V operator()(index_t r) const { return row[r * step]; }
};
template <class V> __device__ __forceinline__ Entry<V> entries(const V* x, const Shape& s, const Place& p) {
    return {x + p.o * s.reduced * s.inner + p.i, s.inner};
}

// e to the entries below the largest one.
struct Mass {
    const T* row;
    index_t step;
    T shift;  // what may be subtracted without making a NaN
    __device__ __forceinline__ T operator()(index_t r) const { return exp(row[r * step] - shift); }
};

// The exponentials of a row, and their sum in float64.
__device__ __forceinline__ Mass mass_of(const T* x, const Shape& s, const Place& p, T* peaks, double* masses, double& mass) {
    const Entry<T> row = entries(x, s, p);
    const T peak = across<Larger<T>>(along<Larger<T>, T>(p, row), peaks);
    const Mass below = {row.row, row.step, tg_finite(peak) ? peak : T(0)};
    mass = across<Plus<double>>(along<Plus<double>, double>(p, below), masses);
    return below;
}
