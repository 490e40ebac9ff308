# find_package(cachemaint) defines cachemaint::cachemaint, the shared library, and cachemaint::static.
get_filename_component(_cachemaint_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET cachemaint::cachemaint)
    add_library(cachemaint::cachemaint SHARED IMPORTED)
    set_target_properties(cachemaint::cachemaint PROPERTIES
        IMPORTED_LOCATION "${_cachemaint_prefix}/lib/libcachemaint.so.0"
        IMPORTED_SONAME "libcachemaint.so.0"
        INTERFACE_INCLUDE_DIRECTORIES "${_cachemaint_prefix}/include")
endif()

if(NOT TARGET cachemaint::static)
    add_library(cachemaint::static STATIC IMPORTED)
    set_target_properties(cachemaint::static PROPERTIES
        IMPORTED_LOCATION "${_cachemaint_prefix}/lib/libcachemaint.a"
        INTERFACE_INCLUDE_DIRECTORIES "${_cachemaint_prefix}/include"
        INTERFACE_LINK_LIBRARIES "pthread;dl;m")
endif()

unset(_cachemaint_prefix)
