// Who is at the other end of a connection to the control socket, as the kernel has it.
#pragma once

#include <sys/types.h>

#include <vector>

#include "core/result.h"

namespace fettle {

// As they were when the peer connected (unix(7): SO_PEERCRED, SO_PEERGROUPS).
struct Peer {
  pid_t pid = 0;  // 0: not visible from here
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
};
Result<Peer> peer_of(int fd);

// Root, the supervisor's own user, and members of the socket's group may control it. The mode of
// the socket says the same; this holds where somebody has loosened it.
bool may_control(const Peer& peer, uid_t own, gid_t group);

}  // namespace fettle
