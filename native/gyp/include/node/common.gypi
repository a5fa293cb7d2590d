# What scripts/native-build.mjs gives node-gyp as its --nodedir, in place of an archive of Node's headers that would have to
# be downloaded: the addon uses nothing but Node-API, whose headers come from the package node-api-headers.
{
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': { 'Debug': {}, 'Release': {} },
    'cflags': ['-fPIC', '-pthread'],
  },
}
