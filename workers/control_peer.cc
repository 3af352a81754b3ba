#include "workers/control_peer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace fettle {
namespace {

std::unexpected<Error> failed(const char* option) {
  return fail(ErrorCode::kOs, fmt::format("{}: {}", option, std::strerror(errno)));
}

}  // namespace

Result<Peer> peer_of(int fd) {
  ucred found{};
  socklen_t size = sizeof found;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &size) != 0) return failed("SO_PEERCRED");
  Peer peer{.pid = found.pid, .uid = found.uid, .gid = found.gid, .groups = {}};
  size = 0;
  while (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) != 0) {
    if (errno != ERANGE) return failed("SO_PEERGROUPS");
    peer.groups.resize(size / sizeof(gid_t));  // the kernel has said how many there are
  }
  peer.groups.resize(size / sizeof(gid_t));
  return peer;
}

bool may_control(const Peer& peer, uid_t own, gid_t group) {
  return peer.uid == 0 || peer.uid == own || peer.gid == group ||
         std::ranges::find(peer.groups, group) != peer.groups.end();
}

}  // namespace fettle
