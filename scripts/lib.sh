# shellcheck shell=bash disable=SC2034 # its variables are for who sources it
# Where things are; sourced by setup, env.sh, test and demo. Bash.

PIXELREFER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# Choose the ROS: the one this shell has sourced, else wheels of PIXELREFER_DISTRO (jazzy unless set).
# Each has a virtual environment and a workspace of its own, because their packages share names.
pixelrefer_select() {
  local suffix
  if [ -n "${ROS_DISTRO:-}" ] && [ -n "${AMENT_PREFIX_PATH:-}" ] && command -v ros2 >/dev/null; then
    PIXELREFER_ROS=sourced
    PIXELREFER_DISTRO=$ROS_DISTRO
    suffix=-system-$ROS_DISTRO
  else
    PIXELREFER_ROS=wheels
    PIXELREFER_DISTRO=${PIXELREFER_DISTRO:-jazzy}
    suffix=-$PIXELREFER_DISTRO
    [ "$suffix" != -jazzy ] || suffix=
  fi
  PIXELREFER_VENV=$PIXELREFER_ROOT/.venv$suffix
  PIXELREFER_WS=$PIXELREFER_ROOT/.ws$suffix
}

# Forget what another environment left in this shell. A Python of the wheels restarts itself once with an
# LD_LIBRARY_PATH of its own and marks that in the environment: inherited, the mark breaks every other venv.
pixelrefer_forget() {
  unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
  [ "$PIXELREFER_ROS" = sourced ] ||
    unset LD_LIBRARY_PATH PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
}
