// Prints the number of its words, then each of them, program included, every item followed by a NUL.
#include <cstdio>
#include <cstring>

int main(int count, char** words) {
    std::printf("%d", count);
    std::fputc('\0', stdout);
    for (int at = 0; at < count; ++at) std::fwrite(words[at], 1, std::strlen(words[at]) + 1, stdout);
    return std::fflush(stdout) == 0 && std::ferror(stdout) == 0 ? 0 : 1;
}
