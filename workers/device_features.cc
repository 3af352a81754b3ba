// Source: linux/ethtool.h.
#include "workers/device_features.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

namespace fettle {
namespace {

constexpr uint32_t kMostFeatures = 512;

class Ethtool {
 public:
  explicit Ethtool(const std::string& device) : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    device.copy(request_.ifr_name, IFNAMSIZ - 1);
  }
  ~Ethtool() {
    if (fd_ >= 0) close(fd_);
  }
  Ethtool(const Ethtool&) = delete;
  Ethtool& operator=(const Ethtool&) = delete;

  bool ask(void* command) {
    request_.ifr_data = static_cast<char*>(command);
    return fd_ >= 0 && ioctl(fd_, SIOCETHTOOL, &request_) == 0;
  }

 private:
  int fd_;
  ifreq request_{};
};

// A command of ethtool's whose answer is of any length.
class Answer {
 public:
  explicit Answer(size_t bytes) : words_(bytes / 8 + 1) {}
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(words_.data());
  }

 private:
  std::vector<uint64_t> words_;
};

uint32_t count_features(Ethtool& ethtool) {
  Answer answer(sizeof(ethtool_sset_info) + sizeof(uint32_t));
  auto* info = answer.as<ethtool_sset_info>();
  info->cmd = ETHTOOL_GSSET_INFO;
  info->sset_mask = uint64_t{1} << ETH_SS_FEATURES;
  if (!ethtool.ask(info) || info->sset_mask == 0) return 0;
  return std::min(info->data[0], kMostFeatures);
}

void read_features(Ethtool& ethtool, DeviceFeatures* out) {
  const uint32_t count = count_features(ethtool);
  const uint32_t blocks = (count + 31) / 32;
  Answer names(sizeof(ethtool_gstrings) + size_t{count} * ETH_GSTRING_LEN);
  auto* strings = names.as<ethtool_gstrings>();
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = count;
  Answer values(sizeof(ethtool_gfeatures) + blocks * sizeof(ethtool_get_features_block));
  auto* features = values.as<ethtool_gfeatures>();
  features->cmd = ETHTOOL_GFEATURES;
  features->size = blocks;
  if (count == 0 || !ethtool.ask(strings) || !ethtool.ask(features)) return;
  for (uint32_t i = 0; i < count; ++i) {
    const char* text = reinterpret_cast<const char*>(strings->data) + size_t{i} * ETH_GSTRING_LEN;
    const std::string_view name(text, strnlen(text, ETH_GSTRING_LEN));
    const bool on = (features->features[i / 32].active >> (i % 32) & 1) != 0;
    if (name == "rx-gro") out->gro = on;
    if (name == "rx-lro") out->lro = on;
    if (name == "hw-tc-offload") out->hardware_offload = on;
  }
}

}  // namespace

DeviceFeatures read_device_features(const std::string& device) {
  DeviceFeatures out;
  Ethtool ethtool(device);
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (ethtool.ask(&driver)) {
    out.driver.assign(driver.driver, strnlen(driver.driver, sizeof driver.driver));
    out.bus.assign(driver.bus_info, strnlen(driver.bus_info, sizeof driver.bus_info));
    if (out.bus == "N/A") out.bus.clear();  // what a bridge says
  }
  read_features(ethtool, &out);
  ethtool_ringparam ring{};
  ring.cmd = ETHTOOL_GRINGPARAM;
  if (ethtool.ask(&ring) && ring.rx_max_pending > 0) {
    out.ring = ring.rx_pending;
    out.ring_most = ring.rx_max_pending;
  }
  return out;
}

}  // namespace fettle
