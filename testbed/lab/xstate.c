/*
 * User-mode Linux keeps 2696 octets of floating-point state a process, all of it up to AVX-512 and
 * PKRU. A host whose processor has more (AMX) accepts nothing shorter than its own full state from
 * PTRACE_SETREGSET, and the user-mode kernel dies at its first process. Preloaded into linux.uml,
 * this pads the state; what lies beyond is marked as unused. No headers: any C compiler will do.
 */
#define PTRACE_SETREGSET 0x4205
#define NT_X86_XSTATE ((void *)0x202)
#define XSTATE_BV 512       /* where the bit map of the parts in use is */
#define KNOWN_PARTS 0x3ff   /* those laid out within 2696 octets */

struct iovec {
    void *base;
    unsigned long length;
};

extern void *dlsym(void *, const char *);
extern void *memcpy(void *, const void *, unsigned long);

long ptrace(long request, long pid, void *address, void *data)
{
    static long (*real)(long, long, void *, void *);
    static unsigned long state[8192];
    struct iovec *given = data;
    struct iovec padded = {state, sizeof state}; /* The host takes as much of it as it has. */

    if (!real)
        real = dlsym((void *)-1L, "ptrace"); /* RTLD_NEXT */
    if (request != PTRACE_SETREGSET || address != NT_X86_XSTATE || given->length > sizeof state)
        return real(request, pid, address, data);
    memcpy(state, given->base, given->length);
    state[XSTATE_BV / sizeof *state] &= KNOWN_PARTS;
    return real(request, pid, address, &padded);
}
