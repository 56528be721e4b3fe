# A component is what a host names in find_package(exec CONFIG COMPONENTS ...). It is one library target exec_<name>,
# known as exec::<name> in tree and installed, one export set, and one file cmake/components/<name>.cmake.in that finds
# what the installed target needs.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(exec_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/exec)

# exec_room(<room> [TARGET <target>] [HEADERS <header>...] [SOURCES <source>...])
#
# Headers are relative to include/exec, sources to src/<room>. Private headers need no mention.
function(exec_room room)
  cmake_parse_arguments(PARSE_ARGV 1 room "" "TARGET" "HEADERS;SOURCES")
  if(NOT room_TARGET)
    set(room_TARGET exec_core)
  endif()
  get_target_property(type ${room_TARGET} TYPE)
  if(type STREQUAL "INTERFACE_LIBRARY")
    set(scope INTERFACE)
  else()
    set(scope PUBLIC)
  endif()
  if(room_HEADERS)
    list(TRANSFORM room_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/include/exec/)
    target_sources(${room_TARGET} ${scope} FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include
                                                                      FILES ${room_HEADERS})
  endif()
  if(room_SOURCES)
    list(TRANSFORM room_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/src/${room}/)
    target_sources(${room_TARGET} PRIVATE ${room_SOURCES})
  endif()
endfunction()

# Adds the library exec_<name> of an optional component. It is installed beside exec_core.
function(exec_library name)
  add_library(exec_${name})
  exec_target(exec_${name})
  set_target_properties(exec_${name} PROPERTIES VERSION ${PROJECT_VERSION}
                                                SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                                                INSTALL_RPATH $ORIGIN)
endfunction()

# Gives exec_<name> its public name and installs it.
function(exec_component name)
  set(target exec_${name})
  add_library(exec::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  if(NOT EXEC_INSTALL)
    return()
  endif()
  get_target_property(headers ${target} HEADER_SET)
  if(headers)
    set(headers FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  else()
    set(headers)
  endif()
  install(TARGETS ${target} EXPORT exec-${name} ${headers})
  install(
    EXPORT exec-${name}
    FILE exec-${name}-targets.cmake
    NAMESPACE exec::
    DESTINATION ${exec_cmake_dir})
  get_target_property(type ${target} TYPE)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/components/${name}.cmake.in
                 ${PROJECT_BINARY_DIR}/cmake/exec-${name}.cmake @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/cmake/exec-${name}.cmake DESTINATION ${exec_cmake_dir})
endfunction()

# exec_pkg_config(<name> TARGET <target> [DESCRIPTION <text>] [OURS <file>...] [NEEDS <file>...])
#
# Installs <name>.pc. Who links the static library links what it NEEDS too; the shared one brings that along. OURS are other
# files of this kind, of this very version.
function(exec_pkg_config name)
  cmake_parse_arguments(PARSE_ARGV 1 pc "" "TARGET;DESCRIPTION" "OURS;NEEDS")
  get_target_property(type ${pc_TARGET} TYPE)
  set(pc_name ${name})
  set(pc_description "${pc_DESCRIPTION}")
  set(pc_library ${pc_TARGET})
  list(TRANSFORM pc_OURS APPEND " = ${PROJECT_VERSION}")
  set(pc_requires ${pc_OURS})
  set(pc_requires_private)
  set(pc_cflags "")
  if(type STREQUAL "SHARED_LIBRARY")
    set(pc_requires_private ${pc_NEEDS})
    set(pc_cflags " -DEXEC_SHARED")
  else()
    list(APPEND pc_requires ${pc_NEEDS})
  endif()
  list(JOIN pc_requires ", " pc_requires)
  list(JOIN pc_requires_private ", " pc_requires_private)
  # Relative to the file itself, so that a package may be moved.
  file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  cmake_path(APPEND pc_libdir "\${prefix}" ${CMAKE_INSTALL_LIBDIR})
  cmake_path(APPEND pc_includedir "\${prefix}" ${CMAKE_INSTALL_INCLUDEDIR})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/exec.pc.in ${PROJECT_BINARY_DIR}/cmake/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/cmake/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# The files that belong to no component: the entry of find_package, and those of pkg-config.
function(exec_install_package)
  if(NOT EXEC_INSTALL)
    return()
  endif()
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/exec-config.cmake.in
                                ${PROJECT_BINARY_DIR}/cmake/exec-config.cmake INSTALL_DESTINATION ${exec_cmake_dir})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/cmake/exec-config-version.cmake
                                   COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/cmake/exec-config.cmake ${PROJECT_BINARY_DIR}/cmake/exec-config-version.cmake
          DESTINATION ${exec_cmake_dir})
  exec_pkg_config(exec TARGET exec_core DESCRIPTION "${PROJECT_DESCRIPTION}" NEEDS fmt)
  if(TARGET exec_ssh)
    exec_pkg_config(exec-ssh TARGET exec_ssh DESCRIPTION "Runs commands on other machines over pooled SSH sessions"
                    OURS exec NEEDS libssh libcrypto)
  endif()
  if(TARGET exec_wire)
    exec_pkg_config(exec-wire TARGET exec_wire DESCRIPTION "Requests and responses of servers that run commands, as JSON"
                    OURS exec)
  endif()
  if(TARGET exec_sqlite)
    exec_pkg_config(exec-sqlite TARGET exec_sqlite DESCRIPTION "Keeps the audit trail of commands in a SQLite file"
                    OURS exec NEEDS sqlite3)
  endif()
endfunction()
