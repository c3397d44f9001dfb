"""Models: one file a system, registered in `mmrec_bench.models.base.MODELS` by the imports below."""

from mmrec_bench.models.ranking.din import DIN as DIN
from mmrec_bench.models.ranking.dlcm import DLCM as DLCM
from mmrec_bench.models.ranking.inforank import InfoRank as InfoRank
from mmrec_bench.models.ranking.initial import Initial as Initial
from mmrec_bench.models.ranking.lambdamart import LambdaMART as LambdaMART
from mmrec_bench.models.ranking.mlp import MLP as MLP
from mmrec_bench.models.ranking.prm import PRM as PRM
from mmrec_bench.models.ranking.starank import STARank as STARank
from mmrec_bench.models.retrieval.alignrec import AlignRec as AlignRec
from mmrec_bench.models.retrieval.bm3 import BM3 as BM3
from mmrec_bench.models.retrieval.dragon import DRAGON as DRAGON
from mmrec_bench.models.retrieval.dream import DREAM as DREAM
from mmrec_bench.models.retrieval.ease import EASE as EASE
from mmrec_bench.models.retrieval.freedom import FREEDOM as FREEDOM
from mmrec_bench.models.retrieval.itemknn import ItemKNN as ItemKNN
from mmrec_bench.models.retrieval.itemknn_content import ItemKNNContent as ItemKNNContent
from mmrec_bench.models.retrieval.lattice import LATTICE as LATTICE
from mmrec_bench.models.retrieval.lgmrec import LGMRec as LGMRec
from mmrec_bench.models.retrieval.lightgcn import LightGCN as LightGCN
from mmrec_bench.models.retrieval.mf import MF as MF
from mmrec_bench.models.retrieval.mgcn import MGCN as MGCN
from mmrec_bench.models.retrieval.motor import Motor as Motor
from mmrec_bench.models.retrieval.popularity import Popularity as Popularity
from mmrec_bench.models.retrieval.recent_popularity import RecentPopularity as RecentPopularity
from mmrec_bench.models.retrieval.vbpr import VBPR as VBPR
