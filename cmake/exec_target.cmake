# How everything of ours is compiled. All of it is private to the target: a host inherits neither flags nor warnings.
function(exec_target target)
  set_target_properties(
    ${target}
    PROPERTIES CXX_STANDARD 20
               CXX_STANDARD_REQUIRED ON
               CXX_EXTENSIONS OFF
               CXX_VISIBILITY_PRESET hidden
               VISIBILITY_INLINES_HIDDEN ON)
  if(PROJECT_IS_TOP_LEVEL)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
  endif()
  if(EXEC_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()
