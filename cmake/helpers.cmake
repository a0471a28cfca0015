# Flags of our own code. The sanitizer flags are global, since they must reach the link of every program.
if(TC_SANITIZE)
  add_compile_options(-fsanitize=${TC_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TC_SANITIZE})
endif()
if(TC_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(TC_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage -Wl,--wrap=_exit)
endif()

function(tc_flags target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE TC_VERSION="${PROJECT_VERSION}")
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
    -Wvla -Wwrite-strings -Wundef -Wno-unused-parameter
    -ffp-contract=off -fno-strict-aliasing -fstack-protector-strong -fPIE
    $<$<BOOL:${TC_WERROR}>:-Werror>
    $<$<CONFIG:Release>:-O2 -D_FORTIFY_SOURCE=2>)
endfunction()

# tc_library(NAME sources... ) with the warnings and include root of the project.
function(tc_library name)
  add_library(${name} STATIC ${ARGN})
  tc_flags(${name})
endfunction()

function(tc_program name)
  add_executable(${name} ${ARGN})
  if(TC_COVERAGE)
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/counted_exit.c)
  endif()
  tc_flags(${name})
  target_link_options(${name} PRIVATE -pie -Wl,-z,relro,-z,now)
endfunction()
