// Who may use the control socket, and how the kernel says who it is.
#include "workers/control_peer.h"

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace fettle {
namespace {

constexpr uid_t kOwn = 990;
constexpr gid_t kGroup = 991;

Peer peer(uid_t uid, gid_t gid, std::vector<gid_t> groups = {}) {
  return {.pid = 1, .uid = uid, .gid = gid, .groups = std::move(groups)};
}

TEST(ControlPeer, RootTheSameUserAndMembersMay) {
  EXPECT_TRUE(may_control(peer(0, 0), kOwn, kGroup));
  EXPECT_TRUE(may_control(peer(kOwn, 5), kOwn, kGroup));
  EXPECT_TRUE(may_control(peer(1000, kGroup), kOwn, kGroup));
  EXPECT_TRUE(may_control(peer(1000, 1000, {4, kGroup, 27}), kOwn, kGroup));
}

TEST(ControlPeer, NobodyElseMay) {
  EXPECT_FALSE(may_control(peer(1000, 1000), kOwn, kGroup));
  EXPECT_FALSE(may_control(peer(1000, kOwn), kOwn, kGroup));    // a group with the user's number
  EXPECT_FALSE(may_control(peer(kGroup, 1000), kOwn, kGroup));  // a user with the group's
  EXPECT_FALSE(may_control(peer(65534, 65534, {4, 27}), kOwn, kGroup));
}

TEST(ControlPeer, AsTheKernelHasIt) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const auto found = peer_of(ends[0]);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->pid, getpid());
  EXPECT_EQ(found->uid, geteuid());
  EXPECT_EQ(found->gid, getegid());
  std::vector<gid_t> groups(256);
  const int count = getgroups(static_cast<int>(groups.size()), groups.data());
  ASSERT_GE(count, 0);
  groups.resize(static_cast<size_t>(count));
  EXPECT_EQ(found->groups, groups);
  close(ends[0]);
  close(ends[1]);
  EXPECT_FALSE(peer_of(ends[0]));
}

}  // namespace
}  // namespace fettle
