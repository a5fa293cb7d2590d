# What `npm install` builds, through node-gyp. CMakeLists.txt builds the same list for development.
# The list of sources is native/sources.json: a new file is one line there, under the instruction set it is compiled for.
{
  'includes': ['native/sources.json'],
  'target_defaults': {
    'include_dirs': ['native'],
    'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20', '-std=gnu++23'],
    # Contraction stays off so that a sum has the same bits whatever the compiler; kernels ask for fused multiply-add by name.
    'cflags_cc': ['-std=c++17', '-O3', '-g0', '-fexceptions', '-fno-fast-math', '-ffp-contract=off', '-fPIC',
                  '-fvisibility=hidden', '-fvisibility-inlines-hidden'],
    'xcode_settings': {
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++17',
      'GCC_ENABLE_CPP_EXCEPTIONS': 'YES',
      'GCC_OPTIMIZATION_LEVEL': '3',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'MACOSX_DEPLOYMENT_TARGET': '11.0',
      'OTHER_CPLUSPLUSFLAGS': ['-ffp-contract=off'],
    },
  },
  'targets': [
    {
      'target_name': 'fovea',
      'sources': ['<@(fovea_sources)'],
      'include_dirs': [
        '<!(node -p "require(\'node-addon-api\').include_dir")',
        '<!(node -p "require(\'node-api-headers\').include_dir")',
      ],
      'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED'],
      'dependencies': ['fovea_scalar'],
      'conditions': [
        ['target_arch=="x64"', {
          'dependencies': ['fovea_avx2', 'fovea_avx512', 'fovea_avx512vnni', 'fovea_avx512bf16', 'fovea_amx'],
          'defines': ['FOVEA_X86=1'],
        }],
        ['OS=="linux"', {
          'ldflags': ['-s', '-pthread'],
        }],
      ],
    },
    {
      'target_name': 'fovea_scalar',
      'type': 'static_library',
      'sources': ['<@(fovea_scalar_sources)'],
    },
  ],
  'conditions': [
    ['target_arch=="x64"', {
      'targets': [
        {
          'target_name': 'fovea_avx2',
          'type': 'static_library',
          'sources': ['<@(fovea_avx2_sources)'],
          'cflags_cc': ['-mavx2', '-mfma'],
        },
        {
          'target_name': 'fovea_avx512',
          'type': 'static_library',
          'sources': ['<@(fovea_avx512_sources)'],
          'cflags_cc': ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma', '-mprefer-vector-width=512'],
        },
        {
          'target_name': 'fovea_avx512vnni',
          'type': 'static_library',
          'sources': ['<@(fovea_avx512vnni_sources)'],
          'cflags_cc': ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512vnni', '-mfma',
                        '-mprefer-vector-width=512'],
        },
        {
          'target_name': 'fovea_avx512bf16',
          'type': 'static_library',
          'sources': ['<@(fovea_avx512bf16_sources)'],
          'cflags_cc': ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512vnni', '-mavx512bf16', '-mfma',
                        '-mprefer-vector-width=512'],
        },
        {
          'target_name': 'fovea_amx',
          'type': 'static_library',
          'sources': ['<@(fovea_amx_sources)'],
          'cflags_cc': ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512vnni', '-mavx512bf16', '-mfma',
                        '-mprefer-vector-width=512', '-mamx-tile', '-mamx-bf16'],
        },
      ],
    }],
  ],
}
