/* The one function of bcryptprimitives.dll that Rust's standard library calls, for Wine 8, which has
   no such library: see docs/platforms.md. */

#include <stddef.h>

/* Random bytes; exported by advapi32.dll, which documents it as RtlGenRandom. */
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *bytes, unsigned long len);

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *bytes, size_t len)
{
    return SystemFunction036(bytes, (unsigned long)len);
}
