# The Debian package: `cpack -G DEB` in the build folder, or `cmake --build build --target package`.
set(FETTLE_MAINTAINER "fettle maintainers <maintainers@fettle.invalid>" CACHE STRING "The package's maintainer")
set(package ${CMAKE_CURRENT_SOURCE_DIR}/package)
set(release 1)

set(ENV{SOURCE_DATE_EPOCH} ${epoch})
string(TIMESTAMP FETTLE_CHANGED "%a, %d %b %Y %H:%M:%S +0000" UTC)
unset(ENV{SOURCE_DATE_EPOCH})
file(CONFIGURE OUTPUT ${made}/changelog.Debian CONTENT "fettle (@PROJECT_VERSION@-@release@) bookworm; urgency=medium

  * See changelog.gz for what is new.

 -- @FETTLE_MAINTAINER@  @FETTLE_CHANGED@
")
fettle_compressed(changelog.Debian.gz ${made}/changelog.Debian)
# Which would be out of place where no dpkg looks after it.
install(FILES ${made}/changelog.Debian.gz ${package}/copyright DESTINATION ${doc} COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${package}/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides RENAME fettle
  COMPONENT debian EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME fettle)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT ${FETTLE_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "mends broken protocols on the fly (NFQUEUE)")
set(CPACK_PACKAGE_DESCRIPTION
"A Linux firewall queues packets to fettle. It rewrites their bytes by rules,
mends lengths and checksums, and hands them back with a verdict, on every
core of a router: addresses inside payloads that NAT does not see, DNS, SIP
and FTP, whole TCP streams whose edits change their length.
.
Its workers run in a sandbox, a worker that dies loses no packet, and
neither does an upgrade.")
# One package of what is installed anyway and of what only a package has.
set(CPACK_COMPONENTS_ALL Unspecified debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_NAME fettle)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${release})
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The user fettle, as debhelper has it. dbus: by it fettle learns whether a stop is a restart.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "dbus, iptables | nftables")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${package}/conffiles ${package}/postinst ${package}/prerm ${package}/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
