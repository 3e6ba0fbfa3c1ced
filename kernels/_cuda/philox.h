// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers, SC 2011): 20 products of 32 bits for four words.
// The same bits as the CPU's.

struct Words {
    unsigned w[4];
};

enum { DRAW = 0, DERIVE = 1 };  // the highest counter word: what a block is for

__device__ __forceinline__ Words philox(unsigned c0, unsigned c1, unsigned c2, unsigned c3, unsigned k0, unsigned k1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const unsigned long long p = 0xD2511F53ull * c0, q = 0xCD9E8D57ull * c2;
        c0 = unsigned(q >> 32) ^ c1 ^ k0, c1 = unsigned(q);
        c2 = unsigned(p >> 32) ^ c3 ^ k1, c3 = unsigned(p);
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// Words 4 block, ..., 4 block + 3 of a draw.
__device__ __forceinline__ Words drawn(const unsigned* key, index_t block) {
    return philox(unsigned(block), unsigned((unsigned long long)block >> 32), 0, DRAW, key[0], key[1]);
}

// Of 53 random bits: 27 of one word above 26 of the next.
__device__ __forceinline__ double float53(unsigned high, unsigned low) {
    return double((unsigned long long)(high >> 5) << 26 | low >> 6);
}
