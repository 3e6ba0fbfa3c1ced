// The steps of kernels/_then.py, on a number that is about to be written.
//
// Which steps there are a launch says: branches that all threads take the same way, beside a write to memory.  Every
// step has the bits of the kernel of that name in elementwise.cu.

enum Stage { BIAS, ACTIVATION, GATE, ADD, ALSO, STAGES };

struct Then {  // epilogue.py fills it
    int code[STAGES];  // 0: nothing; 1: the step without a slope; 2: the one with
    T slope[STAGES];
};

__device__ __forceinline__ T activated(T z, const Then& then, Stage stage) {
    if (then.code[stage] == 1) return z < 0 ? T(0) : z;
    return then.code[stage] == 2 && !(z > 0) ? then.slope[stage] * z : z;
}

// y[at] = the steps on z; the arrays of y's shape are read and written at `at`, the bias at `column`.
__device__ __forceinline__ void finish(T z, T* y, index_t at, index_t column, const T* bias, const T* gate,
                                       const T* other, T* also, const Then& then) {
    if (then.code[BIAS]) z += bias[column];
    z = activated(z, then, ACTIVATION);
    if (then.code[GATE]) z = gate[at] > 0 ? z : then.code[GATE] == 2 ? then.slope[GATE] * z : T(0);
    if (then.code[ADD]) z += other[at];
    y[at] = z;
    if (then.code[ALSO]) also[at] = activated(z, then, ALSO);
}
