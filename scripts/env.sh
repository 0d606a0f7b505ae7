# shellcheck shell=bash disable=SC1091
# Source this in bash after scripts/setup: the virtual environment, the workspace, and settings for the
# middleware (a profile that carries whole images; discovery on this machine only), unless yours are set.
# PIXELREFER_DISTRO=kilted chooses another distro, as --distro does for scripts/setup. Variables that another
# ROS environment has left in the shell are forgotten.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
pixelrefer_select
if [ ! -e "$PIXELREFER_WS/built" ]; then
  echo "env.sh: nothing is built for ROS 2 $PIXELREFER_DISTRO yet: run scripts/setup first" >&2
  return 1
fi
pixelrefer_forget
. "$PIXELREFER_VENV/bin/activate"
case $- in *u*) set +u; . "$PIXELREFER_WS/install/local_setup.bash"; set -u ;;
  *) . "$PIXELREFER_WS/install/local_setup.bash" ;;
esac
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH%:} # the hooks leave an empty entry, which means the current folder
if [ -z "${FASTDDS_DEFAULT_PROFILES_FILE:-}${FASTRTPS_DEFAULT_PROFILES_FILE:-}" ]; then
  export FASTDDS_DEFAULT_PROFILES_FILE=$PIXELREFER_ROOT/config/fastdds_shm.xml
  case $PIXELREFER_DISTRO in # Fast DDS 2 reads another name, of which Fast DDS 3 complains
    humble | iron | jazzy) export FASTRTPS_DEFAULT_PROFILES_FILE=$FASTDDS_DEFAULT_PROFILES_FILE ;;
  esac
fi
export ROS_AUTOMATIC_DISCOVERY_RANGE=${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}
