#include "workers/version.h"

namespace fettle {

std::string_view version() { return FETTLE_VERSION; }

}  // namespace fettle
