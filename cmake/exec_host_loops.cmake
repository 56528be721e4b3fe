# The foreign loops that tests and examples run inside of. The library itself needs neither.
find_package(Boost 1.81 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(libuv REQUIRED IMPORTED_TARGET libuv)

add_library(exec_host_asio INTERFACE)
target_link_libraries(exec_host_asio INTERFACE Boost::headers)
add_library(exec_host_uv INTERFACE)
target_link_libraries(exec_host_uv INTERFACE PkgConfig::libuv)
