// The one place where doctest's implementation and main() are compiled; every test binary links this object.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
