# -DCMAKE_PROJECT_INCLUDE=<this file> builds against the ros-* wheels without editing the virtual environment.
# Deferred to the end of the directory, when every target is there. Harmless with a normal ROS.
function(_ros_wheels_fix_includes)
  # The wheels export the Python and NumPy include directories of the machine that built them.
  get_property(_imported DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(_target IN LISTS _imported)
    get_target_property(_directories ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(_directories MATCHES "/opt/python/cp")
      set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
        "${Python3_INCLUDE_DIRS};${Python3_NumPy_INCLUDE_DIRS}")
    endif()
  endforeach()

  # Our own generated module would export them in turn, which CMake refuses for directories below the
  # sources, where the virtual environment may well be: keep them to the build.
  set(_module ${PROJECT_NAME}__rosidl_generator_py)
  if(TARGET ${_module})
    get_target_property(_directories ${_module} INTERFACE_INCLUDE_DIRECTORIES)
    list(TRANSFORM _directories REPLACE "^(${CMAKE_SOURCE_DIR}/.+)$" "$<BUILD_INTERFACE:\\1>")
    set_target_properties(${_module} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_directories}")
  endif()
endfunction()
cmake_language(DEFER CALL _ros_wheels_fix_includes)
