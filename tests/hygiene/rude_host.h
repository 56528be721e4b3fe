// Macros that real headers leave behind: complex.h, windows.h, X.h, sysmacros.h, GNU modes. None may break
// ours. Included after the standard headers, before ours.
#define I _Complex_I
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define ERROR 0
#define DEBUG 1
#undef unix
#define unix 1
#undef linux
#define linux 1
#undef major
#define major(device) ((device) >> 8)
#undef minor
#define minor(device) ((device)&255)
#undef stdin
#define stdin (rude_streams[0])
#undef stdout
#define stdout (rude_streams[1])
#undef stderr
#define stderr (rude_streams[2])
#undef errno
#define errno (*rude_errno())
#define interface struct
#define small char
#define near
#define far
#define IN
#define OUT
#define OPTIONAL
#define DELETE 0x10000
#define CONST const
#define VOID void
#define TRUE 1
#define FALSE 0
#define None 0
#define Bool int
#define Status int
#define Success 0
